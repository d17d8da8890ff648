import { backoff, type Clock, type Timer } from 'nestjs-eventing';
import { StaleMemberError, type CommittedPosition } from './kafka.driver.js';
import type { PartitionTracker } from './partition.tracker.js';
import type { PositionLoop } from './tracked.partitions.js';

export interface CommitLoopOptions {
  /** Milliseconds. */
  readonly interval: number;
  /** Accepted messages. */
  readonly threshold: number;
  readonly clock: Clock;
  commit(positions: readonly CommittedPosition[]): Promise<void>;
  /** Failed for another reason than a rebalance; told once until it works again. */
  failed(error: Error): void;
}

interface Waiter {
  readonly tracker: PartitionTracker;
  readonly resolve: (written: boolean) => void;
}

/** Writes positions down: what changed, together, at an interval; one commit at a time, repeated until it succeeds. */
export class CommitLoop implements PositionLoop {
  private readonly dirty = new Set<PartitionTracker>();
  private waiters: Waiter[] = [];
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;
  private accepted = 0;
  private failures = 0;
  private stopped = false;

  constructor(private readonly options: CommitLoopOptions) {}

  changed(tracker: PartitionTracker, accepted: number): void {
    this.dirty.add(tracker);
    this.accepted += accepted;
    if (this.accepted >= this.options.threshold && this.running === undefined && this.failures === 0) this.fire();
    else this.arm(this.options.interval);
  }

  /** Resolves when the present position of that partition is written; to false if it was lost before. */
  commitNow(tracker: PartitionTracker): Promise<boolean> {
    return new Promise((resolve) => {
      this.dirty.add(tracker);
      this.waiters.push({ tracker, resolve });
      if (this.running === undefined) queueMicrotask(() => this.fire());
    });
  }

  /** Writes these down now, and tries again until `patience` milliseconds are over: a rebalance may be in between. */
  async flush(trackers: readonly PartitionTracker[], patience: number): Promise<void> {
    const end = Date.now() + patience;
    for (let attempt = 1; ; attempt++) {
      await this.running;
      const written = changes(trackers);
      if (written.length === 0) return;
      try {
        await this.options.commit(written.map(([, position]) => position));
        for (const [tracker, position] of written) tracker.confirm(position);
        return;
      } catch (error) {
        const pause = backoff(attempt, 20, 200);
        if (this.stopped || Date.now() + pause > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
  }

  /** The membership works again: do not wait for the pause after a failure. */
  hurry(): void {
    if (this.dirty.size > 0 && this.running === undefined) this.fire();
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    for (const waiter of this.waiters.splice(0)) waiter.resolve(false);
  }

  private arm(ms: number): void {
    if (this.timer !== undefined || this.running !== undefined || this.stopped) return;
    this.timer = this.options.clock.setTimeout(() => this.fire(), ms);
  }

  private fire(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.running !== undefined || this.stopped) return;
    this.running = this.run().finally(() => {
      this.running = undefined;
      if (this.dirty.size > 0) this.arm(this.failures > 0 ? backoff(this.failures, 50, 2_000) : this.nextPause());
    });
  }

  /** Somebody waits for the next one at once; otherwise the interval. */
  private nextPause(): number {
    return this.waiters.length > 0 ? 0 : this.options.interval;
  }

  private async run(): Promise<void> {
    const trackers = [...this.dirty].filter((tracker) => !tracker.isClosed);
    this.dirty.clear();
    this.accepted = 0;
    const waiters = this.waiters.splice(0);
    const written = changes(trackers);
    try {
      if (written.length > 0) await this.options.commit(written.map(([, position]) => position));
      this.failures = 0;
      for (const [tracker, position] of written) tracker.confirm(position);
      for (const { tracker, resolve } of waiters) resolve(!tracker.isClosed);
    } catch (error) {
      this.failures++;
      if (!(error instanceof StaleMemberError) && this.failures === 1) this.options.failed(error as Error);
      for (const tracker of trackers) if (!tracker.isClosed) this.dirty.add(tracker);
      for (const waiter of waiters) {
        if (waiter.tracker.isClosed || this.stopped) waiter.resolve(false);
        else this.waiters.push(waiter);
      }
    }
  }
}

/** What the broker does not know yet. */
function changes(trackers: readonly PartitionTracker[]): [PartitionTracker, CommittedPosition][] {
  const found: [PartitionTracker, CommittedPosition][] = [];
  for (const tracker of trackers) {
    const position = tracker.isClosed ? undefined : tracker.position();
    if (position !== undefined) found.push([tracker, position]);
  }
  return found;
}
