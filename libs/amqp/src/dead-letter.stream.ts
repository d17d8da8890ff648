import { randomUUID } from 'node:crypto';
import { type Clock, type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterStore, decodeDeadLetter, encodeDeadLetter, EventingError, type Timer } from 'nestjs-eventing'; // prettier-ignore
import rhea from 'rhea';
import type { AmqpConnection } from './amqp.connection.js';
import { connectionError } from './amqp.errors.js';
import { decodeMessage, type ReceivedMessage } from './message.decoder.js';
import { type EncodedMessage, encodeMessage } from './message.encoder.js';
import { MARK } from './message.names.js';
import type { PublishQueue, TargetedMessage } from './publish.queue.js';
import type { RabbitMqQueuePlan, RabbitMqTopology } from './rabbitmq.topology.js';
import { OUTCOME, RawReceiver, type Transfer } from './raw.receiver.js';

const CURSOR = /^2:(\d{1,15})$/;
const LARGEST_PAGE = 10_000;
/** Messages that the broker hands over ahead. */
const READ_AHEAD = 200;
/** Silence of the broker after which a scan is given up. Milliseconds. */
const PATIENCE = 10_000;
const OFFSET_SPEC = 'rabbitmq:stream-offset-spec';
const EMPTY = Buffer.alloc(0);

export interface DeadLetterStreamParts {
  readonly publisher: PublishQueue;
  readonly topology: RabbitMqTopology;
  readonly clock: Clock;
  connection(): AmqpConnection | undefined;
}

/**
 * Dead letters in a stream: a log that reading takes nothing out of. A letter that is removed gets a tombstone behind it; one that is
 * stored twice stands where it was stored last.
 *
 * Where a stream ends, nobody tells. A scan writes a mark, and reads from its cursor to that. Of all this, the letters of the page are
 * kept and nothing else; one is dropped again when its tombstone, or a later letter of its id, comes by.
 */
export class DeadLetterStream implements DeadLetterStore {
  readonly plan: RabbitMqQueuePlan;

  /** @param canRead whether the broker lets a stream be read from its beginning over AMQP 1.0 */
  constructor(
    private readonly name: string,
    readonly address: string,
    private readonly canRead: boolean,
    private readonly parts: DeadLetterStreamParts,
  ) {
    this.plan = { name, arguments: { 'x-queue-type': 'stream' }, bindings: [], shared: true };
  }

  async append(letter: DeadLetter): Promise<void> {
    const { body } = letter.message;
    try {
      await this.parts.publisher.publishOne(this.encode(encodeDeadLetter(letter), body, { [MARK.letter]: letter.id }));
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      const text = `${this.name} did not take dead letter ${letter.id}: ${reason}`;
      throw new EventingError('EVT_DEAD_LETTER_FAILED', text, { cause });
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    this.checkReadable();
    const tombstones = ids.map((id) => this.encode({}, EMPTY, { [MARK.letter]: id, [MARK.removed]: 1 }));
    const failures = await this.parts.publisher.publish(tombstones);
    if (failures[0] !== undefined) throw failures[0].error;
  }

  async scan(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const start = parse(query.cursor);
    this.checkReadable();
    const limit = Math.min(Math.max(1, Math.trunc(query.limit)), LARGEST_PAGE);
    try {
      for (let from = start; ;) {
        // A page may turn out empty because all of its letters were taken away further on; then the next one is looked at.
        const { letters, next } = await this.page(from, limit);
        if (letters.length > 0 || next === undefined)
          return { letters, ...(next === undefined ? {} : { cursor: `2:${next}` }) };
        from = next;
      }
    } catch (error) {
      throw connectionError(error);
    }
  }

  private async page(from: number, limit: number): Promise<{ letters: DeadLetter[]; next: number | undefined }> {
    const live = new Map<string, ReceivedMessage>();
    let next: number | undefined;
    await this.read(from, (message, offset) => {
      const id = message.letter;
      if (id === undefined) return;
      // A later message of the same id: the letter is gone, or stands there and not here.
      const wasThere = live.delete(id);
      if (message.isTombstone || next !== undefined) return;
      // It would begin the next page, so there is one.
      if (live.size === limit && !wasThere) next = offset;
      else live.set(id, message);
    });
    const letters = [...live].map(([id, { headers, body, time }]) =>
      decodeDeadLetter(id, { headers, body, time: time ?? 0 }),
    );
    return { letters, next };
  }

  /** From an offset to where the stream ends now. */
  private async read(from: number, take: (message: ReceivedMessage, offset: number) => void): Promise<void> {
    const mark = randomUUID();
    await this.parts.publisher.publishOne(this.encode({}, EMPTY, { [MARK.end]: mark }));
    const arrived = new Arrivals(this.parts.clock, this.name);
    const receiver = await RawReceiver.open(this.connection(), this.source(from), arrived);
    try {
      receiver.allow(READ_AHEAD);
      for (let count = 1; ; count++) {
        const { deliveryId, payload } = await arrived.next();
        receiver.settle(deliveryId, deliveryId, OUTCOME.accepted);
        if (count % (READ_AHEAD / 2) === 0) receiver.allow(READ_AHEAD / 2);
        const message = decodeMessage(payload);
        if (message.endMark === mark) return;
        // A stream hands over whole chunks: what lies before the offset that was asked for may be among it.
        if (message.offset !== undefined && message.offset >= from) take(message, message.offset);
      }
    } finally {
      arrived.end();
      await receiver.close();
    }
  }

  private source(from: number): object {
    const { types } = rhea as unknown as {
      readonly types: { wrap_described(value: unknown, name: string): object; wrap_ulong(value: number): object };
    };
    const value = from === 0 ? 'first' : types.wrap_ulong(from);
    return { address: this.address, filter: { [OFFSET_SPEC]: types.wrap_described(value, OFFSET_SPEC) } };
  }

  private encode(
    headers: EncodedMessage['headers'],
    body: Uint8Array,
    marks: NonNullable<EncodedMessage['marks']>,
  ): TargetedMessage {
    const message = { id: randomUUID(), to: this.name, key: undefined, headers, body, durable: true, marks };
    const bytes = encodeMessage({ ...message, time: this.parts.clock.now() });
    return { target: this.address, bytes };
  }

  private checkReadable(): void {
    if (this.canRead) return;
    throw new EventingError(
      'EVT_UNSUPPORTED',
      `With addresses: 'v1' dead letters are stored in ${this.name} and cannot be read or removed from here: use addresses: 'v2' of RabbitMQ 4.`,
    );
  }

  private connection(): AmqpConnection {
    const connection = this.parts.connection();
    if (connection !== undefined) return connection;
    throw new EventingError('EVT_CONNECTION', 'The broker cannot be reached for now.');
  }
}

/** What a link brought, one after the other; no more than its credit. */
class Arrivals {
  private readonly waiting: Transfer[] = [];
  private failure: Error | undefined;
  private wake: (() => void) | undefined;
  private timer: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly name: string,
  ) {}

  readonly transfer = (transfer: Transfer): void => {
    this.waiting.push(transfer);
    this.wake?.();
  };

  readonly ended = (cause: Error): void => {
    this.failure = cause;
    this.wake?.();
  };

  /** Rejects where the link has ended, and where nothing comes for long. */
  async next(): Promise<Transfer> {
    while (this.waiting.length === 0) {
      if (this.failure !== undefined) throw this.failure;
      this.timer = this.clock.setTimeout(() => this.ended(new Error(`${this.name} says nothing`)), PATIENCE);
      await new Promise<void>((resolve) => (this.wake = resolve));
      this.timer.cancel();
    }
    return this.waiting.shift() as Transfer;
  }

  end(): void {
    this.timer?.cancel();
  }
}

function parse(cursor: string | undefined): number {
  if (cursor === undefined) return 0;
  const match = CURSOR.exec(cursor);
  if (match !== null) return Number(match[1]);
  throw new EventingError(
    'EVT_POSITION',
    'This cursor is not from a page of this dead-letter store. Begin without one.',
  );
}
