import type { Channel, ConsumeMessage } from 'amqplib';
import { type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterStore, decodeDeadLetter, EventingError, type ProviderContext, type Timer } from 'nestjs-eventing'; // prettier-ignore
import { randomUUID } from 'node:crypto';
import { LetterCodec } from './dead-letter.message.js';
import { connectionError, isMissing } from './rabbit.errors.js';
import type { Parcel } from './parcel.js';
import type { PublishQueue } from './publish.queue.js';
import type { RabbitLink } from './rabbit.link.js';
import { serviceNames } from './rabbit.names.js';

const CURSOR = /^1:(\d{1,15})$/;
const LARGEST_PAGE = 10_000;
/** Messages that the broker hands over ahead. */
const READ_AHEAD = 200;
/** Silence of the broker after which a scan is given up. */
const PATIENCE = 10_000;

interface StreamRecord {
  readonly offset: number;
  readonly message: ConsumeMessage;
}

/**
 * Dead letters in a stream: a log that reading takes nothing out of. Letters come by an exchange of the same name, so that others
 * may hear of them, too. A letter that is removed gets a tombstone behind it; one that is stored twice stands where it was stored last.
 *
 * Where a stream ends, nobody tells. A scan writes a mark, and reads from its cursor to that. Of all this, the letters of the page are
 * kept and nothing else; one is dropped again when its tombstone, or a later letter of its id, comes by.
 */
export class DeadLetterStream implements DeadLetterStore {
  private readonly name: string;
  private making: Promise<void> | undefined;

  constructor(
    private readonly link: RabbitLink,
    private readonly publisher: PublishQueue,
    private readonly context: Pick<ProviderContext, 'service' | 'topology' | 'clock'>,
  ) {
    this.name = serviceNames(context.service).letters;
  }

  async append(letter: DeadLetter): Promise<void> {
    try {
      await this.ensure();
      await this.publisher.publishOne(this.parcel(LetterCodec.letter(letter, this.context.clock.now()), this.name));
    } catch (cause) {
      this.making = undefined;
      const reason = cause instanceof Error ? cause.message : String(cause);
      const text = `${this.name} did not take dead letter ${letter.id}: ${reason}`;
      throw new EventingError('EVT_DEAD_LETTER_FAILED', text, { cause });
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    await this.ensure();
    const now = this.context.clock.now();
    const failures = await this.publisher.publish(ids.map((id) => this.parcel(LetterCodec.tombstone(id, now), '')));
    if (failures[0] !== undefined) throw failures[0].error;
  }

  async scan(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const start = parse(query.cursor);
    try {
      await this.link.open();
      if (!(await this.exists())) return { letters: [] };
      const limit = Math.min(Math.max(1, Math.trunc(query.limit)), LARGEST_PAGE);
      for (let from = start; ;) {
        // A page may turn out empty because all of its letters were taken away further on; then the next one is looked at.
        const page = await this.page(from, limit);
        if (page.letters.length > 0 || page.next === undefined)
          return { letters: page.letters, ...(page.next === undefined ? {} : { cursor: `1:${page.next}` }) };
        from = page.next;
      }
    } catch (error) {
      throw connectionError(error);
    }
  }

  private async page(from: number, limit: number): Promise<{ letters: DeadLetter[]; next: number | undefined }> {
    const live = new Map<string, ConsumeMessage>();
    let next: number | undefined;
    await this.read(from, ({ offset, message }) => {
      const id = LetterCodec.idOf(message);
      if (id === undefined) return;
      // A later record of the same id: the letter is gone, or stands there and not here.
      const wasThere = live.delete(id);
      if (LetterCodec.isTombstone(message)) return;
      if (next !== undefined) return;
      // It would begin the next page, so there is one.
      if (live.size === limit && !wasThere) next = offset;
      else live.set(id, message);
    });
    const letters = [...live].map(([id, message]) => decodeDeadLetter(id, LetterCodec.stored(message)));
    return { letters, next };
  }

  /** From an offset to where the stream ends now. */
  private async read(from: number, take: (record: StreamRecord) => void): Promise<void> {
    const mark = randomUUID();
    await this.publisher.publishOne(this.parcel(LetterCodec.mark(mark, this.context.clock.now()), ''));
    await this.link.withChannel(async (channel) => {
      await channel.prefetch(READ_AHEAD, false);
      await new Promise<void>((resolve, reject) => {
        const { clock } = this.context;
        let heard = clock.now();
        let over = false;
        let timer: Timer | undefined;
        const done = (): void => {
          over = true;
          timer?.cancel();
        };
        const fail = (error: Error): void => {
          done();
          reject(error);
        };
        const watch = (): void => {
          const left = heard + PATIENCE - clock.now();
          if (left <= 0) fail(new Error(`${this.name} says nothing`));
          else timer = clock.setTimeout(watch, left, true);
        };
        watch();
        channel.once('error', fail);
        channel.once('close', () => fail(new Error('the connection was lost during the scan')));
        const consume = (message: ConsumeMessage | null): void => {
          if (message === null) return fail(new Error(`${this.name} was deleted`));
          if (over) return;
          heard = clock.now();
          if (LetterCodec.isMark(message, mark)) {
            done();
            resolve();
            return;
          }
          const offset = offsetOf(message);
          // A stream hands over whole chunks: what lies before the offset that was asked for may be among it.
          if (offset >= from) take({ offset, message });
          channel.ack(message);
        };
        const position = { '!': 'long', value: from };
        channel.consume(this.name, consume, { arguments: { 'x-stream-offset': position } }).catch(fail);
      });
    });
  }

  private async exists(): Promise<boolean> {
    try {
      await this.link.withChannel((channel) => channel.checkQueue(this.name));
      return true;
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
  }

  private async ensure(): Promise<void> {
    await this.link.open();
    if (this.context.topology === 'check') return;
    this.making ??= this.link.withChannel((channel) => this.make(channel));
    try {
      await this.making;
    } catch (error) {
      this.making = undefined;
      throw error;
    }
  }

  private async make(channel: Channel): Promise<void> {
    await channel.assertExchange(this.name, 'fanout', { durable: true });
    // Only at the first time: an operator may have taken it out of the exchange, to fill it from elsewhere.
    const isNew = !(await this.exists());
    await channel.assertQueue(this.name, { durable: true, arguments: { 'x-queue-type': 'stream' } });
    if (isNew) await channel.bindQueue(this.name, this.name, '');
  }

  /** @param exchange the default one sends to the stream itself */
  private parcel(letter: Pick<Parcel, 'body' | 'sent'>, exchange: string): Parcel {
    return { ...letter, exchange, routingKey: this.name, persistent: true, mandatory: true, channel: this.name };
  }
}

function offsetOf({ properties }: ConsumeMessage): number {
  const offset: unknown = properties.headers?.['x-stream-offset'];
  return typeof offset === 'number' ? offset : 0;
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
