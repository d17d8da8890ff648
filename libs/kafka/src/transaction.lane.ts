import { backoff, type Clock, type Timer } from 'nestjs-eventing';
import { DriverError, FencedError, type DriverTransactor, type TopicPartition } from './kafka.driver.js';
import type { OutputBatches } from './output.batches.js';
import type { PartitionTracker } from './partition.tracker.js';
import type { ProducerRecord } from './producer.queue.js';

export interface TransactionLaneOptions {
  readonly group: string;
  /** Milliseconds between the beginnings of two transactions, while there is work. */
  readonly interval: number;
  /** Outputs for which the interval is not waited for. */
  readonly threshold: number;
  readonly clock: Clock;
  readonly batches: OutputBatches;
  /** Another process has the transactional id, or the broker has given up on us. */
  fenced(source: TopicPartition, error: Error): void;
  /** A transaction fails, or has not come to its end for some seconds, and is tried again; told once until one works. */
  failed(source: TopicPartition, error: Error): void;
  /** The brokers keep no notes beside positions. */
  bare(): void;
}

/**
 * The transactions of one input partition: what was settled without a gap, its outputs and letters, and the position behind it; one
 * after the other.
 */
export class TransactionLane {
  private tracker: PartitionTracker | undefined;
  /** Of transactions that failed: first in the next. */
  private records: ProducerRecord[] = [];
  private waiters: ((written: boolean) => void)[] = [];
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;
  private begun = 0;
  private failures = 0;
  private isTold = false;
  private isBare = false;
  private closed = false;

  constructor(
    readonly source: TopicPartition,
    private readonly transactor: DriverTransactor,
    private readonly options: TransactionLaneOptions,
  ) {}

  changed(tracker: PartitionTracker): void {
    this.adopt(tracker);
    if (this.failures === 0 && tracker.outputCount >= this.options.threshold) this.fire();
    else this.arm();
  }

  /** Resolves when the present position is committed; to false if the partition was lost before. */
  commitNow(tracker: PartitionTracker): Promise<boolean> {
    this.adopt(tracker);
    return new Promise((resolve) => {
      this.waiters.push(resolve);
      queueMicrotask(() => this.fire());
    });
  }

  /** Resolves when nothing is left to commit; rejects with why the last transaction failed. */
  async flush(): Promise<void> {
    await this.running;
    if (this.closed || !this.hasWork()) return;
    this.fire();
    await this.running;
    if (this.failures > 0) throw new DriverError('NOT_COMMITTED', 'a transaction failed');
  }

  /** Do not wait for the pause after a failure. */
  hurry(): void {
    if (this.hasWork()) this.fire();
  }

  /** What is under way is not taken for now. */
  hindered(error: Error): void {
    if (this.isTold || this.closed) return;
    this.isTold = true;
    this.options.failed(this.source, error);
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
    this.transactor.close();
    for (const resolve of this.waiters.splice(0)) resolve(false);
  }

  private adopt(tracker: PartitionTracker): void {
    // The topic was made anew: what is left belongs to one that is gone.
    if (tracker !== this.tracker) this.records = [];
    this.tracker = tracker;
  }

  private hasWork(): boolean {
    const { tracker } = this;
    if (tracker === undefined || tracker.isClosed) return false;
    return this.waiters.length > 0 || this.records.length > 0 || tracker.position() !== undefined;
  }

  private arm(): void {
    if (this.timer !== undefined || this.running !== undefined || this.closed) return;
    const { clock, interval } = this.options;
    const pause = this.failures > 0 ? backoff(this.failures, 50, 2_000) : this.begun + interval - clock.now();
    this.timer = clock.setTimeout(() => this.fire(), Math.max(0, Math.min(pause, 2_000)));
  }

  private fire(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.running !== undefined || this.closed) return;
    this.begun = this.options.clock.now();
    this.running = this.run().finally(() => {
      this.running = undefined;
      if (this.waiters.length > 0 && this.failures === 0) this.fire();
      else if (this.hasWork()) this.arm();
    });
  }

  private async run(): Promise<void> {
    const { tracker } = this;
    const waiters = this.waiters.splice(0);
    if (tracker === undefined || tracker.isClosed) {
      for (const resolve of waiters) resolve(false);
      return;
    }
    for (const record of tracker.takeOutputs()) this.records.push(record);
    const { records } = this;
    const position = tracker.position();
    try {
      if (position !== undefined) {
        const batches = await this.options.batches.of(records);
        const metadata = this.isBare ? '' : position.metadata;
        await this.transactor.commit({ group: this.options.group, position: { ...position, metadata }, batches });
        // What it wrote is on record even if the partition was lost meanwhile: then nobody asks any more.
        this.records = [];
        tracker.committed(position, records);
      }
      this.failures = 0;
      this.isTold = false;
      for (const resolve of waiters) resolve(!tracker.isClosed);
    } catch (error) {
      this.waiters.unshift(...waiters);
      if (!this.closed) this.judge(error as Error);
    }
  }

  private judge(error: Error): void {
    if (error instanceof FencedError) {
      this.options.fenced(this.source, error);
      return;
    }
    if (error instanceof DriverError && error.type === 'OFFSET_METADATA_TOO_LARGE' && !this.isBare) {
      this.isBare = true;
      this.options.bare();
      return;
    }
    this.failures++;
    this.hindered(error);
  }
}
