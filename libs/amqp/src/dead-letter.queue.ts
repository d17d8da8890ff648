import rhea from 'rhea';
import { type DeadLetter, type DeadLetterPage, type DeadLetterQuery, type DeadLetterStore, decodeDeadLetter, encodeDeadLetter, EventingError } from 'nestjs-eventing'; // prettier-ignore
import type { AmqpConnection } from './amqp.connection.js';
import { connectionError } from './amqp.errors.js';
import type { AmqpTopology, QueuePlan } from './artemis.topology.js';
import { decodeMessage } from './message.decoder.js';
import { encodeMessage } from './message.encoder.js';
import { MARK } from './message.names.js';
import type { PublishQueue } from './publish.queue.js';
import { OUTCOME, RawReceiver, type Transfer } from './raw.receiver.js';

const CURSOR = /^1:(\d{1,16})$/;
const LARGEST_PAGE = 10_000;
/** Letters asked of the broker at once. */
const PIECE = 100;
/** Ids in one selector. */
const IDS = 50;
/** By how much clocks of a service's processes may differ: letters lie about so far from their place. Milliseconds. */
const SKEW = 60_000;
/** Stamps of one millisecond: letters of one process are told apart, in order. */
const PER_MS = 1000;

export interface DeadLetterParts {
  readonly publisher: PublishQueue;
  readonly topology: AmqpTopology;
  readonly now: () => number;
  connection(): AmqpConnection | undefined;
}

/**
 * Dead letters in a durable queue that keeps one message for each id (a last-value queue): appending twice leaves one. A scan
 * browses and takes nothing away. Letters stand in the order of their stamps, so that a cursor holds whatever was removed.
 */
export class DeadLetterQueue implements DeadLetterStore {
  readonly plan: QueuePlan;
  private lastStamp = 0;

  constructor(
    readonly name: string,
    private readonly parts: DeadLetterParts,
  ) {
    this.plan = {
      name,
      address: name,
      routing: 'ANYCAST',
      durable: true,
      exclusive: false,
      lastValueKey: MARK.letter,
    };
  }

  async append(letter: DeadLetter): Promise<void> {
    const { message } = letter;
    this.lastStamp = Math.max(this.lastStamp + 1, this.parts.now() * PER_MS);
    try {
      await this.parts.publisher.publishOne({
        target: this.name,
        bytes: encodeMessage({
          id: letter.id,
          to: this.name,
          key: undefined,
          headers: encodeDeadLetter(letter),
          body: message.body,
          time: this.parts.now(),
          durable: true,
          marks: { [MARK.letter]: letter.id, [MARK.stamp]: this.lastStamp },
        }),
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
    for (let at = 0; at < ids.length; at += IDS) {
      const list = ids.slice(at, at + IDS).map((id) => `'${id.replaceAll("'", "''")}'`);
      await this.taking(`${MARK.letter} IN (${list.join(', ')})`);
    }
  }

  async scan(query: DeadLetterQuery): Promise<DeadLetterPage> {
    const after = this.parse(query.cursor);
    const limit = Math.min(Math.max(1, Math.trunc(query.limit)), LARGEST_PAGE);
    const found = await this.browse(after, limit);
    const letters = found.map(({ letter }) => letter);
    const last = found.at(-1);
    return { letters, ...(letters.length === limit && last !== undefined ? { cursor: `1:${last.stamp}` } : {}) };
  }

  /** The letters with the lowest stamps above `after`. They lie about in order; of all that is read, so many are kept. */
  private async browse(after: number, limit: number): Promise<readonly Found[]> {
    let found: Found[] = [];
    const arrived: Transfer[] = [];
    const connection = this.connection();
    try {
      const receiver = await this.open(connection, `${MARK.stamp} > ${after}`, true, arrived);
      try {
        for (;;) {
          await receiver.drain(PIECE);
          const piece = arrived.splice(0);
          let furthest = 0;
          for (const { payload } of piece) {
            const { letter: id, stamp, headers, body, time } = decodeMessage(payload);
            if (id === undefined) continue;
            furthest = Math.max(furthest, stamp);
            const letter = decodeDeadLetter(id, { headers, body, time: time ?? 0 });
            found = found.filter((other) => other.letter.id !== id);
            found.push({ stamp, letter });
          }
          found.sort((a, b) => a.stamp - b.stamp);
          found.splice(limit);
          const enough = found.length === limit && furthest > (found.at(-1)?.stamp ?? 0) + SKEW * PER_MS;
          if (piece.length < PIECE || enough) return found;
        }
      } finally {
        await receiver.close();
      }
    } catch (error) {
      throw connectionError(error);
    }
  }

  private async taking(selector: string): Promise<void> {
    const arrived: Transfer[] = [];
    try {
      const receiver = await this.open(this.connection(), selector, false, arrived);
      try {
        let count: number;
        do {
          await receiver.drain(PIECE);
          const piece = arrived.splice(0);
          count = piece.length;
          for (const { deliveryId } of piece) receiver.settle(deliveryId, deliveryId, OUTCOME.accepted);
        } while (count === PIECE);
      } finally {
        await receiver.close();
      }
    } catch (error) {
      throw connectionError(error);
    }
  }

  private async open(
    connection: AmqpConnection,
    selector: string,
    copy: boolean,
    arrived: Transfer[],
  ): Promise<RawReceiver> {
    await this.parts.topology.declare(this.plan);
    const source = {
      address: this.name,
      capabilities: ['queue'],
      ...(copy ? { distribution_mode: 'copy' } : {}),
      filter: rhea.filter.selector(selector),
    };
    const events = { transfer: (transfer: Transfer) => void arrived.push(transfer), ended: () => undefined };
    return RawReceiver.open(connection, source, events);
  }

  private connection(): AmqpConnection {
    const connection = this.parts.connection();
    if (connection !== undefined) return connection;
    throw new EventingError('EVT_CONNECTION', 'The broker cannot be reached for now.');
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

interface Found {
  readonly stamp: number;
  readonly letter: DeadLetter;
}
