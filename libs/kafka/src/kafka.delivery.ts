import type { Delivery, RawHeaders, Settlement } from 'nestjs-eventing';
import type { IncomingRecord } from './kafka.driver.js';
import type { PartitionTracker } from './partition.tracker.js';
import type { ProducerRecord } from './producer.queue.js';

/** What the retry topic says of a message that was first stored elsewhere. */
export interface Origin {
  readonly channel: string;
  readonly position: string | undefined;
  readonly time: number;
  readonly attempt: number;
  readonly notBefore: number | undefined;
  /** Without what the retry topic added. */
  readonly headers: RawHeaders;
}

export const OPEN = 0;
/** Being moved elsewhere; not settled until it is safe there. */
export const MOVING = 1;
export const DONE = 2;
/** Given back, to be delivered again. */
export const RELEASED = 3;
/** Deferred, and not due yet: the kernel does not know of it. */
export const WAITING = 4;

const NO_BYTES = new Uint8Array(0);
const decoder = new TextDecoder();

/** One record handed to the kernel. Many are alive at a time and each is settled once, so what is rarely asked is computed then. */
export class KafkaDelivery implements Delivery {
  state = OPEN;
  /** What goes with it into a transaction. */
  outputs: readonly ProducerRecord[] | undefined = undefined;
  readonly channel: string;
  readonly key: string | undefined;

  constructor(
    private readonly tracker: PartitionTracker,
    public record: IncomingRecord,
    readonly attempt: number,
    private readonly origin: Origin | undefined,
  ) {
    this.channel = origin?.channel ?? tracker.source.topic;
    this.key = record.key === null ? undefined : text(record.key);
  }

  get offset(): number {
    return this.record.offset;
  }

  get headers(): RawHeaders {
    return this.origin?.headers ?? this.record.headers;
  }

  get body(): Uint8Array {
    return this.record.value ?? NO_BYTES;
  }

  get time(): number {
    return this.origin?.time ?? this.record.time;
  }

  get source(): string {
    return this.tracker.name;
  }

  get position(): string {
    const { partition } = this.tracker.source;
    if (this.origin === undefined) return `${partition}@${this.record.offset}`;
    return this.origin.position ?? `retry-${partition}@${this.record.offset}`;
  }

  get notBefore(): number | undefined {
    return this.origin?.notBefore;
  }

  /** Keeps only what it needs: the bytes are a view into a whole answer of the broker, which may be far larger. */
  keepApart(): void {
    const { key, value } = this.record;
    this.record = { ...this.record, key: key && Buffer.from(key), value: value && Buffer.from(value) };
  }

  /** Only its offset is of interest any more. */
  forget(): void {
    this.record = { ...this.record, key: null, value: null, headers: {} };
  }

  /** The same record once more, after a release; that nobody tried it counts for nothing. */
  again(): KafkaDelivery {
    return new KafkaDelivery(this.tracker, this.record, this.attempt, this.origin);
  }

  settle(settlement: Settlement): Promise<void> | void {
    if (this.state !== OPEN) return;
    if (settlement.kind === 'accept') {
      if (settlement.outputs !== undefined) this.outputs = this.tracker.recordsOf(settlement);
      this.state = DONE;
      this.tracker.accepted(this);
      return;
    }
    return this.tracker.settleElse(this, settlement);
  }
}

function text(bytes: Uint8Array): string {
  return Buffer.isBuffer(bytes) ? bytes.toString('utf8') : decoder.decode(bytes);
}
