import { EventingError, type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterStore, decodeDeadLetter, encodeDeadLetter } from 'nestjs-eventing'; // prettier-ignore
import type { IncomingRecord, KafkaDriver } from './kafka.driver.js';
import { connectionError } from './kafka.errors.js';
import type { ProducerQueue, ProducerRecord } from './producer.queue.js';
import type { Topology } from './topology.js';

const CURSOR = /^1:(\d{1,15})$/;
/** Bytes of one read. */
const READ_BYTES = 1024 * 1024;
const READ_WAIT = 200;
const LARGEST_PAGE = 10_000;

/**
 * Dead letters in a compacted topic with one partition: the key is the letter's id, the value the original bytes, and an empty
 * value (a tombstone) takes a letter away. Appending twice leaves one, since Kafka keeps the last record of a key.
 *
 * A page is found by reading once from the cursor to where the topic ended when the scan began. Of all this, the letters of the
 * page are kept and nothing else; one is dropped again when its tombstone, or a later record of its id, comes by.
 */
export class DeadLetterTopic implements DeadLetterStore {
  constructor(
    readonly topic: string,
    private readonly driver: KafkaDriver,
    private readonly queue: ProducerQueue,
    private readonly topology: Topology,
    private readonly now: () => number,
  ) {}

  async append(letter: DeadLetter): Promise<void> {
    try {
      await this.queue.publishOne(this.recordOf(letter));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EventingError(
        'EVT_DEAD_LETTER_FAILED',
        `${this.topic} did not take dead letter ${letter.id}: ${reason}`,
        {
          cause,
        },
      );
    }
  }

  recordOf(letter: DeadLetter): ProducerRecord {
    const { topic } = this;
    const value = asBuffer(letter.message.body);
    return { topic, key: letter.id, value, headers: encodeDeadLetter(letter), time: this.now() };
  }

  async remove(ids: readonly string[]): Promise<void> {
    const time = this.now();
    const failures = await this.queue.publish(
      ids.map((id) => ({ topic: this.topic, key: id, value: null, headers: {}, time })),
    );
    if (failures[0] !== undefined) throw failures[0].error;
  }

  async scan(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const start = this.parse(query.cursor);
    try {
      return await this.read(start, query);
    } catch (error) {
      throw connectionError(error);
    }
  }

  private async read(start: number, query: DeadLetterQuery): Promise<DeadLetterPage> {
    const limit = Math.min(Math.max(1, Math.trunc(query.limit)), LARGEST_PAGE);
    await this.topology.ensure([this.topic]);
    const end = await this.edge('stable');
    let from = Math.max(start, await this.edge('earliest'));
    // A page may turn out empty because all of its letters were taken away further on; then the next one is looked at.
    while (from < end) {
      const page = await this.page(from, end, limit);
      if (page.letters.length > 0 || page.next >= end) {
        return { letters: page.letters, ...(page.next < end ? { cursor: `1:${page.next}` } : {}) };
      }
      from = page.next;
    }
    return { letters: [] };
  }

  private async page(from: number, end: number, limit: number): Promise<{ letters: DeadLetter[]; next: number }> {
    const live = new Map<string, IncomingRecord>();
    let next = end;
    for (let at = from; at < end;) {
      const { records, nextOffset, endOffset } = await this.driver.read(this.source, at, READ_BYTES, READ_WAIT);
      for (const record of records) {
        if (record.offset >= end) break;
        if (record.key === null) continue;
        const id = asBuffer(record.key).toString('utf8');
        // A later record of the same id: the letter is gone, or stands there and not here.
        live.delete(id);
        if (record.value === null || next < end) continue;
        // The bytes are a view into what was read, which may be far larger: keep a copy.
        live.set(id, copyOf(record));
        if (live.size === limit) next = record.offset + 1;
      }
      if (nextOffset > at) at = nextOffset;
      // A topic that was cut off meanwhile: what is gone does not come. A new leader that may not know the end yet is asked in a way that waits.
      else if (endOffset >= end || (await this.edge('stable')) < end) break;
    }
    const letters = [...live].map(([id, { headers, value, time }]) =>
      decodeDeadLetter(id, { headers, body: value, time }),
    );
    return { letters, next };
  }

  private get source(): { topic: string; partition: number } {
    return { topic: this.topic, partition: 0 };
  }

  private async edge(at: 'earliest' | 'stable'): Promise<number> {
    return (await this.driver.offsets(this.topic, [0], at)).get(0) ?? 0;
  }

  private parse(cursor: string | undefined): number {
    if (cursor === undefined) return 0;
    const match = CURSOR.exec(cursor);
    if (match !== null) return Number(match[1]);
    throw new EventingError(
      'EVT_POSITION',
      'This cursor is not from a page of this dead-letter store. Begin without one.',
    );
  }
}

function copyOf(record: IncomingRecord): IncomingRecord {
  const headers: Record<string, Uint8Array> = {};
  for (const [name, value] of Object.entries(record.headers)) headers[name] = Buffer.from(value);
  return { ...record, value: record.value && Buffer.from(record.value), headers };
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
