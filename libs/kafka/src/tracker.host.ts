import type { Clock, Delivery, Settlement } from 'nestjs-eventing';
import type { KafkaDelivery, Origin } from './kafka.delivery.js';
import type { IncomingRecord, TopicPartition } from './kafka.driver.js';
import type { PartitionTracker } from './partition.tracker.js';
import type { ProducerRecord } from './producer.queue.js';

/** What a partition needs of the subscription that it belongs to. */
export interface TrackerHost {
  readonly clock: Clock;
  readonly window: number;
  /** Whether positions are committed at all. */
  readonly commits: boolean;
  /** No deliveries now. */
  readonly paused: boolean;
  deliver(delivery: Delivery): void;
  /** Where a record came from: null for a plain one; undefined for one of the retry topic that is not for us. */
  originOf(source: TopicPartition, record: IncomingRecord): Origin | null | undefined;
  /** Position or notes changed: commit them when convenient. */
  changed(tracker: PartitionTracker, accepted: number): void;
  /** Commits them, however long it takes. Resolves to false if the partition was lost before. */
  commitNow(tracker: PartitionTracker): Promise<boolean>;
  /** What is settled, and what goes with it, are committed together. */
  readonly transactional: boolean;
  /** What goes into the transaction with it: the outputs of an accept, the letter of a reject. */
  recordsOf(settlement: Settlement): readonly ProducerRecord[];
  /** Defer, and reject without transactions: stores it in its new place. */
  move(delivery: KafkaDelivery, settlement: Settlement): Promise<void>;
  /** Its buffer is full, or no longer: read on or not. */
  full(tracker: PartitionTracker, full: boolean): void;
}
