import { EventingError, type Clock, type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterStore, decodeDeadLetter, encodeDeadLetter } from 'nestjs-eventing'; // prettier-ignore
import type { BrokerManagement } from './broker.management.js';
import type { QueuePlan } from './broker.topology.js';
import { decodeMessage, type IncomingMessage, LETTER_ID } from './message.codec.js';
import type { PublishQueue } from './publish.queue.js';
import { StompConnection, subscribeHead } from './stomp.connection.js';
import { connectionError, StompFault } from './stomp.errors.js';
import type { ResolvedStompOptions } from './stomp.options.js';

const CURSOR = /^1:(\d{1,15}):(\d{1,18})$/;
const LARGEST_PAGE = 10_000;
/** Ids in one selector. */
const AT_ONCE = 200;
/** Milliseconds without a letter after which it is asked how many there are still. */
const SILENCE = 250;

/** Where a page ends: when the broker stored its last letter, and the broker's number of it. */
interface Cursor {
  readonly stored: number;
  readonly number: bigint;
}

/**
 * Dead letters in one durable queue that is not destructive: whoever consumes from it reads and takes nothing away. Of two letters
 * with one id the later takes the place of the earlier, so appending twice leaves one. Letters are removed through the management.
 */
export class DeadLetterQueue implements DeadLetterStore {
  readonly plan: QueuePlan;

  constructor(
    readonly name: string,
    private readonly options: ResolvedStompOptions,
    private readonly clock: Clock,
    private readonly publisher: PublishQueue,
    private readonly management: BrokerManagement,
  ) {
    this.plan = { name, address: name, routing: 'ANYCAST', durable: true, exclusive: false, storeBy: LETTER_ID };
  }

  async append(letter: DeadLetter): Promise<void> {
    try {
      await this.publisher.publishOne({
        destination: this.name,
        routing: 'ANYCAST',
        durable: true,
        time: letter.message.time,
        // It is in the headers. A key of its own would bind the letter to one reader.
        key: undefined,
        headers: encodeDeadLetter(letter),
        body: letter.message.body,
        letter: letter.id,
      });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new EventingError(
        'EVT_DEAD_LETTER_FAILED',
        `${this.name} did not take dead letter ${letter.id}: ${reason}`,
        { cause },
      );
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    try {
      for (let at = 0; at < ids.length; at += AT_ONCE) {
        const some = ids.slice(at, at + AT_ONCE).map((id) => `'${id.replaceAll("'", "''")}'`);
        await this.management.call(`queue.${this.name}`, 'removeMessages', `${LETTER_ID} IN (${some.join(', ')})`);
      }
    } catch (error) {
      throw connectionError(error);
    }
  }

  async scan(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const cursor = parseCursor(query.cursor);
    const limit = Math.min(Math.max(1, Math.trunc(query.limit)), LARGEST_PAGE);
    try {
      return await this.read(cursor, limit);
    } catch (error) {
      throw connectionError(error);
    }
  }

  private async read(cursor: Cursor, limit: number): Promise<DeadLetterPage> {
    // Letters of one millisecond may lie on both sides of the cursor.
    const selector = `${LETTER_ID} IS NOT NULL AND AMQTimestamp >= ${cursor.stored}`;
    const reading = new LetterReading(cursor, limit);
    let expected = await this.count(selector);
    if (expected === 0) return { letters: [] };
    const connection = await StompConnection.open(this.options, this.clock, {
      message: (frame) => reading.take(decodeMessage(frame, this.clock.now())),
    });
    void connection.ended.then((fault) => reading.fail(fault));
    try {
      await connection.request(
        subscribeHead('letters', this.name, {
          'subscription-type': 'ANYCAST',
          ack: 'auto',
          selector,
          'consumer-window-size': '-1',
        }),
      );
      // Some may be removed meanwhile, so that what was counted does not come.
      for (let seen = -1; !reading.isFull && reading.seen < expected;) {
        if (reading.seen === seen) {
          const left = await this.count(selector);
          if (left <= reading.seen) break;
          expected = Math.min(expected, left);
        }
        seen = reading.seen;
        await reading.until(expected, SILENCE, this.clock);
      }
    } finally {
      connection.destroy();
    }
    return reading.page();
  }

  private async count(selector: string): Promise<number> {
    return Number(await this.management.call(`queue.${this.name}`, 'countMessages', selector));
  }
}

/** The letters of one page as they come. */
class LetterReading {
  /** Letters that came, those before the cursor too. */
  seen = 0;
  private readonly messages: IncomingMessage[] = [];
  private fault: StompFault | undefined;
  private wake: (() => void) | undefined;
  private wanted = Infinity;

  constructor(
    private readonly cursor: Cursor,
    private readonly limit: number,
  ) {}

  get isFull(): boolean {
    // One more tells that there is another page.
    return this.messages.length > this.limit;
  }

  take(message: IncomingMessage): void {
    if (this.isFull) return;
    this.seen++;
    const { stored, number } = this.cursor;
    if (message.stored > stored || BigInt(message.number) > number) this.messages.push(message);
    if (this.isFull || this.seen >= this.wanted) this.wake?.();
  }

  fail(fault: StompFault): void {
    this.fault = fault;
    this.wake?.();
  }

  /** Resolves when so many have come, the page is full, or at the latest after `ms` milliseconds. */
  async until(count: number, ms: number, clock: Clock): Promise<void> {
    this.wanted = count;
    if (!this.isFull && this.seen < count && this.fault === undefined)
      await new Promise<void>((resolve) => {
        const timer = clock.setTimeout(() => resolve(), ms, true);
        this.wake = () => {
          timer.cancel();
          resolve();
        };
      });
    this.wake = undefined;
    if (this.fault !== undefined && !this.isFull) throw this.fault;
  }

  page(): DeadLetterPage {
    const kept = this.messages.slice(0, this.limit);
    const last = kept.at(-1);
    const letters = kept.map((message) =>
      decodeDeadLetter(message.letter ?? message.number, {
        headers: message.headers,
        body: message.body,
        time: message.stored,
      }),
    );
    if (!this.isFull || last === undefined) return { letters };
    return { letters, cursor: `1:${last.stored}:${last.number}` };
  }
}

function parseCursor(cursor: string | undefined): Cursor {
  if (cursor === undefined) return { stored: 0, number: -1n };
  const match = CURSOR.exec(cursor);
  if (match !== null) return { stored: Number(match[1]), number: BigInt(match[2] as string) };
  throw new EventingError(
    'EVT_POSITION',
    'This cursor is not from a page of this dead-letter store. Begin without one.',
  );
}
