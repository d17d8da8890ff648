import { settledWithin } from 'nestjs-eventing';
import { DriverError, sourceName, type MakeTransactor, type TopicPartition } from './kafka.driver.js';
import type { PartitionTracker } from './partition.tracker.js';
import type { PositionLoop } from './tracked.partitions.js';
import { TransactionLane, type TransactionLaneOptions } from './transaction.lane.js';

/**
 * Where an exactly-once subscription writes positions down: a transaction for each partition, under an id of that partition. Brokers and
 * clients before KIP-447 know no other way to keep a process out that has lost its partitions and does not know it.
 */
export class TransactionLoop implements PositionLoop {
  private readonly lanes = new Map<string, TransactionLane>();

  constructor(
    private readonly transactor: MakeTransactor,
    private readonly options: TransactionLaneOptions,
  ) {}

  /** Whoever had these before can commit nothing any more when it resolves. Positions are read after that. */
  async take(sources: readonly TopicPartition[]): Promise<void> {
    await Promise.all(
      sources.map(async (source) => {
        this.drop([source]);
        const id = `${this.options.group}:${source.topic}-${source.partition}`;
        const transactor = this.transactor(id, (error) => lane.hindered(error));
        const lane = new TransactionLane(source, transactor, this.options);
        this.lanes.set(sourceName(source), lane);
        await transactor.begin();
      }),
    );
  }

  drop(sources: readonly TopicPartition[]): void {
    for (const source of sources) {
      this.lanes.get(sourceName(source))?.close();
      this.lanes.delete(sourceName(source));
    }
  }

  changed(tracker: PartitionTracker): void {
    this.lanes.get(tracker.name)?.changed(tracker);
  }

  commitNow(tracker: PartitionTracker): Promise<boolean> {
    return this.lanes.get(tracker.name)?.commitNow(tracker) ?? Promise.resolve(false);
  }

  async flush(trackers: readonly PartitionTracker[], patience: number): Promise<void> {
    const flushed = Promise.all(trackers.map((tracker) => this.lanes.get(tracker.name)?.flush()));
    if (!(await settledWithin(flushed, patience)))
      throw new DriverError('NO_ANSWER', `a transaction was not ended within ${patience} ms`);
    await flushed;
  }

  hurry(): void {
    for (const lane of this.lanes.values()) lane.hurry();
  }

  stop(): void {
    for (const lane of this.lanes.values()) lane.close();
    this.lanes.clear();
  }
}
