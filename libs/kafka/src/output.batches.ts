import { DriverError, type OutgoingRecord, type ProducerBatch } from './kafka.driver.js';
import { partitionOf } from './murmur2.js';
import { sizeOf, wholeTime } from './producer.lane.js';
import type { ProducerRecord } from './producer.queue.js';
import type { TopicSource } from './producer.topics.js';

/** Puts outputs into batches of partitions, each partition's in the order in which they were sent. */
export class OutputBatches {
  /** Records without key go to one partition in each transaction: fewer, larger batches. */
  private turn = 0;

  constructor(
    private readonly topics: TopicSource,
    /** Bytes. */
    private readonly largest: number,
  ) {}

  /** Creates missing topics where it may; rejects, with an `EventingError` where waiting does not help. */
  async of(records: readonly ProducerRecord[]): Promise<ProducerBatch[]> {
    const counts = new Map<string, number>();
    for (const topic of new Set(records.map((record) => record.topic))) counts.set(topic, await this.count(topic));
    this.turn++;
    const batches: ProducerBatch[] = [];
    const open = new Map<string, { records: OutgoingRecord[]; bytes: number }>();
    for (const { topic, key, value, headers, time, place } of records) {
      const count = counts.get(topic) ?? 1;
      const partition = place?.(count) ?? (key === undefined ? this.turn % count : partitionOf(key, count));
      const size = sizeOf(key, value, headers);
      const name = `${topic}/${partition}`;
      let batch = open.get(name);
      if (batch === undefined || batch.bytes + size > this.largest) {
        batch = { records: [], bytes: 0 };
        open.set(name, batch);
        batches.push({ topic, partition, records: batch.records });
      }
      batch.records.push({ key, value, headers, time: wholeTime(time) });
      batch.bytes += size;
    }
    return batches;
  }

  private async count(topic: string): Promise<number> {
    let layout = await this.topics.layout(topic);
    if (layout === undefined) {
      await this.topics.missing(topic);
      layout = await this.topics.layout(topic);
    }
    if (layout === undefined) throw new DriverError('UNKNOWN_TOPIC_OR_PARTITION', `topic ${topic} is missing`);
    return layout.leaders.length;
  }
}
