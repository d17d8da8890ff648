import { backoff, type Clock, type Timer } from 'nestjs-eventing';
import type { DeferredTracker } from '../deferred/deferred.tracker.js';
import type { SourceState, SourceTracker } from './source.tracker.js';

/** What is to be written down together. */
export interface Changes {
  readonly states: readonly { readonly tracker: SourceTracker; readonly state: SourceState }[];
  readonly removals: readonly { readonly tracker: DeferredTracker; readonly numbers: readonly number[] }[];
}

/** What writes down how far sources are settled. */
export interface PositionLoop {
  /** Something was settled. */
  changed(): void;
  /** Resolves when the present state of that source is written; to false if it was lost before. */
  commitNow(tracker: SourceTracker): Promise<boolean>;
  /** Writes down what these have now, and tries again until `patience` milliseconds are over. Rejects with the last failure. */
  flush(trackers: readonly SourceTracker[], deferred: readonly DeferredTracker[], patience: number): Promise<void>;
  stop(): void;
}

export interface CommitLoopOptions {
  /** Milliseconds. */
  readonly interval: number;
  readonly clock: Clock;
  /** Of everything that this process has. */
  trackers(): Iterable<SourceTracker>;
  deferred(): Iterable<DeferredTracker>;
  /** @returns the sources that belong to another by now */
  write(changes: Changes): Promise<readonly SourceTracker[]>;
  lost(trackers: readonly SourceTracker[]): void;
  /** Told once until it works again. */
  failed(error: unknown): void;
}

interface Waiter {
  readonly tracker: SourceTracker;
  readonly resolve: (written: boolean) => void;
}

/** Writes down what was settled: all that changed, together, at an interval; one at a time, repeated until it succeeds. */
export class CommitLoop implements PositionLoop {
  private waiters: Waiter[] = [];
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;
  private dirty = false;
  private failures = 0;
  private stopped = false;

  constructor(private readonly options: CommitLoopOptions) {}

  changed(): void {
    if (this.dirty) return;
    this.dirty = true;
    this.arm(this.options.interval);
  }

  commitNow(tracker: SourceTracker): Promise<boolean> {
    return new Promise((resolve) => {
      this.dirty = true;
      this.waiters.push({ tracker, resolve });
      // Sources that were gained together ask together.
      if (this.running === undefined && this.failures === 0) queueMicrotask(() => this.fire());
    });
  }

  async flush(
    trackers: readonly SourceTracker[],
    deferred: readonly DeferredTracker[],
    patience: number,
  ): Promise<void> {
    const end = Date.now() + patience;
    for (let attempt = 1; ; attempt++) {
      await this.running;
      const changes = changesOf(trackers, deferred);
      if (isEmpty(changes)) return;
      try {
        await this.write(changes);
        return;
      } catch (error) {
        const pause = backoff(attempt, 20, 200);
        if (this.stopped || Date.now() + pause > end) throw error;
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    }
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
      if (!this.dirty) return;
      const pause = this.waiters.length > 0 ? 0 : this.options.interval;
      this.arm(this.failures > 0 ? backoff(this.failures, 50, 2_000) : pause);
    });
  }

  private async run(): Promise<void> {
    this.dirty = false;
    const waiters = this.waiters.splice(0);
    try {
      await this.write(changesOf(this.options.trackers(), this.options.deferred()));
      this.failures = 0;
      for (const { tracker, resolve } of waiters) resolve(!tracker.isClosed);
    } catch (error) {
      this.dirty = true;
      this.failures++;
      if (this.failures === 1) this.options.failed(error);
      for (const waiter of waiters) {
        if (waiter.tracker.isClosed || this.stopped) waiter.resolve(false);
        else this.waiters.push(waiter);
      }
    }
  }

  private async write(changes: Changes): Promise<void> {
    if (isEmpty(changes)) return;
    const lost = await this.options.write(changes);
    for (const { tracker, state } of changes.states) if (!lost.includes(tracker)) tracker.confirm(state);
    for (const { tracker, numbers } of changes.removals) tracker.confirm(numbers);
    if (lost.length > 0) this.options.lost(lost);
  }
}

function changesOf(trackers: Iterable<SourceTracker>, deferred: Iterable<DeferredTracker>): Changes {
  const states: { tracker: SourceTracker; state: SourceState }[] = [];
  for (const tracker of trackers) {
    const state = tracker.isClosed ? undefined : tracker.changes();
    if (state !== undefined) states.push({ tracker, state });
  }
  const removals: { tracker: DeferredTracker; numbers: readonly number[] }[] = [];
  for (const tracker of deferred) {
    const numbers = tracker.changes();
    if (numbers.length > 0) removals.push({ tracker, numbers });
  }
  return { states, removals };
}

function isEmpty({ states, removals }: Changes): boolean {
  return states.length === 0 && removals.length === 0;
}
