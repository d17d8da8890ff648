import type { KafkaDelivery } from './kafka.delivery.js';
import { sizeOf } from './producer.lane.js';
import type { ProducerRecord } from './producer.queue.js';

/** Outputs of one partition that wait for a transaction: beyond either, nothing more is delivered. */
const MOST_RECORDS = 10_000;
const MOST_BYTES = 16 * 1024 * 1024;

/** Outputs and letters of what was settled without a gap, in the order of delivery, from then until they are committed. */
export class OutputLedger {
  private records: ProducerRecord[] = [];
  private count = 0;
  private bytes = 0;

  get isFull(): boolean {
    return this.count >= MOST_RECORDS || this.bytes >= MOST_BYTES;
  }

  /** How many are not committed. */
  get size(): number {
    return this.count;
  }

  add({ outputs }: KafkaDelivery): void {
    for (const record of outputs ?? []) {
      this.records.push(record);
      this.count++;
      this.bytes += sizeOf(record.key, record.value, record.headers);
    }
  }

  /** For the next transaction. They count until it is committed. */
  take(): ProducerRecord[] {
    const { records } = this;
    this.records = [];
    return records;
  }

  committed(records: readonly ProducerRecord[]): void {
    this.count -= records.length;
    for (const { key, value, headers } of records) this.bytes -= sizeOf(key, value, headers);
  }
}
