import type { HeaderValue, OpenMessage, PublishCall, RawHeaders } from 'nestjs-eventing';
import type { OutgoingRecord, ProducerBatch } from './kafka.driver.js';

/** A message on its way. One object from `publish` to the encoder: nothing else is made per message. */
export class QueuedRecord implements OutgoingRecord, OpenMessage {
  /** The batch it was put into, and can no longer leave. */
  batch: LaneBatch | undefined;
  /** Its caller was answered; it is no longer waited for. */
  done = false;
  readonly size: number;
  readonly time: number;

  constructor(
    readonly call: PublishCall<QueuedRecord>,
    readonly index: number,
    readonly key: string | Uint8Array | undefined,
    readonly value: Uint8Array | null,
    readonly headers: RawHeaders,
    time: number,
    readonly place: ((partitions: number) => number) | undefined,
  ) {
    this.size = sizeOf(key, value, headers);
    this.time = wholeTime(time);
  }
}

/** Bytes of a record, at most and about. */
export function sizeOf(key: OutgoingRecord['key'], value: Uint8Array | null, headers: RawHeaders): number {
  let size = RECORD_OVERHEAD + (value?.length ?? 0) + (key?.length ?? 0);
  for (const name in headers) size += name.length + (headers[name] as HeaderValue).length + 4;
  return size;
}

/** A time with a fraction, or none at all, must not be in the way of the messages beside it. */
export function wholeTime(time: number): number {
  return Number.isFinite(time) ? Math.trunc(time) : Date.now();
}

/** Lengths, times and offsets of a record, at most; text is counted in characters, and the broker has the last word. */
const RECORD_OVERHEAD = 32;

export class LaneBatch implements ProducerBatch {
  /** Some attempt may have stored it. */
  mayBeStored = false;
  /** On its way now. */
  sending = false;

  constructor(
    readonly topic: string,
    readonly partition: number,
    readonly records: readonly QueuedRecord[],
  ) {}
}

/** The queue of one partition: batches that must be repeated first, as they were; then records. */
export class ProducerLane {
  readonly batches: LaneBatch[] = [];
  private records: QueuedRecord[] = [];
  private head = 0;
  attempts = 0;
  /** Milliseconds since 1970. */
  notBefore = 0;

  constructor(
    readonly topic: string,
    readonly partition: number,
  ) {}

  push(record: QueuedRecord): void {
    this.records.push(record);
  }

  get hasWork(): boolean {
    return this.batches.length > 0 || this.head < this.records.length;
  }

  /** What goes next: the batch that is due again, or as many records as fit. Undefined while one is on its way. */
  take(maxBytes: number): LaneBatch | undefined {
    const first = this.batches[0];
    if (first !== undefined) return first.sending ? undefined : first;
    const taken: QueuedRecord[] = [];
    let bytes = 0;
    for (; this.head < this.records.length; this.head++) {
      const record = this.records[this.head] as QueuedRecord;
      if (record.done) continue;
      if (taken.length > 0 && bytes + record.size > maxBytes) break;
      bytes += record.size;
      taken.push(record);
    }
    if (this.head === this.records.length) {
      this.records = [];
      this.head = 0;
    } else if (this.head > 4096) {
      this.records = this.records.slice(this.head);
      this.head = 0;
    }
    if (taken.length === 0) return undefined;
    const batch = new LaneBatch(this.topic, this.partition, taken);
    for (const record of taken) record.batch = batch;
    this.batches.push(batch);
    return batch;
  }

  remove(batch: LaneBatch): void {
    const index = this.batches.indexOf(batch);
    if (index >= 0) this.batches.splice(index, 1);
  }

  /** Two halves in its place, to find the record at fault. */
  divide(batch: LaneBatch): void {
    const middle = batch.records.length >> 1;
    const halves = [batch.records.slice(0, middle), batch.records.slice(middle)].map(
      (records) => new LaneBatch(this.topic, this.partition, records),
    );
    for (const half of halves) for (const record of half.records) record.batch = half;
    this.batches.splice(this.batches.indexOf(batch), 1, ...halves);
  }

  /** In its place, a batch of those of its records that somebody still waits for. */
  narrow(batch: LaneBatch): void {
    const open = batch.records.filter((record) => !record.done);
    const narrower = new LaneBatch(this.topic, this.partition, open);
    for (const record of open) record.batch = narrower;
    this.batches.splice(this.batches.indexOf(batch), 1, narrower);
  }

  /** Drops records at the front that nobody waits for any more. */
  prune(): void {
    while (this.head < this.records.length && (this.records[this.head] as QueuedRecord).done) this.head++;
  }
}
