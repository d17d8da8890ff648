import { EventingContext, EventingError } from 'nestjs-eventing';
import type { TransactionAdapter } from '../adapters/transaction.adapter.js';
import type { Database, Row } from '../sql/database.js';
import { type OutboxOptions, resolveOutboxOptions, type ResolvedOutboxOptions } from './outbox.options.js';
import { OutboxStatements } from './outbox.statements.js';
import { type CommitWatch, OutboxTransaction } from './outbox.transaction.js';
import { type MessageRow, messageOf } from './message.json.js';
import {
  type ParkedFilter,
  type ParkedMessage,
  type ParkedPage,
  type ParkedQuery,
  parkedOf,
} from './parked.message.js';

/** What the application lends to an outbox. */
export interface OutboxHome {
  readonly service: string;
  readonly context: EventingContext;
  readonly database: Database;
  readonly watch?: CommitWatch | undefined;
}

/** How much waits, for one provider. */
export interface OutboxDepth {
  readonly provider: string;
  /** Stored, and not tried yet. */
  readonly waiting: number;
  /** Refused by the broker, and to be tried again. */
  readonly retrying: number;
  /** Given up: `resend` or `discard` them. */
  readonly failed: number;
  /** Milliseconds since the oldest that is not given up was stored; 0 where there is none. */
  readonly age: number;
}

/**
 * Stores what is sent in a transaction with it, and publishes it after the commit. Make it with `new Outbox({ … })`, give it to
 * `PostgresOutboxModule.forRoot(outbox)`, and inject it.
 */
export class Outbox {
  readonly options: ResolvedOutboxOptions;
  readonly statements: OutboxStatements;
  #home: OutboxHome | undefined;

  /** @throws EventingError EVT_INVALID_OPTIONS */
  constructor(options: OutboxOptions) {
    this.options = resolveOutboxOptions(options);
    this.statements = new OutboxStatements(this.options.schema);
  }

  /**
   * Runs `work`; what it sends is stored by the transaction of the adapter, and published once that has committed. `sendEvent` resolves
   * when the row is stored. Resolves when all of it is; then commit. Rejects with what `work` rejected with, or with EVT_TRANSACTION_FAILED
   * where something was not stored; then roll back.
   *
   * A key's order is the order of the sends, and of transactions that exclude each other (by a lock on the order's row, say). Of what is
   * sent after `work` is over nothing is stored: EVT_OUTBOX_CLOSED.
   */
  async within<T>(adapter: TransactionAdapter, work: () => Promise<T>): Promise<T> {
    const transaction = this.begin(adapter);
    let result: T;
    try {
      result = await this.#living.context.run({ unitOfWork: transaction }, work);
    } catch (error) {
      await transaction.abandon(error);
      throw error;
    }
    await transaction.end();
    return result;
  }

  /** A unit of work for whoever opens scopes of its own, as an inbox does. Ended by `end()` before the commit, else by `abandon()`. */
  begin(adapter: TransactionAdapter): OutboxTransaction {
    const { service, watch } = this.#living;
    const { maxStaged } = this.options;
    return new OutboxTransaction(adapter, { service, statements: this.statements, watch, maxStaged });
  }

  /** Messages that were given up, oldest first. */
  async failed({ limit = 100, cursor = '0', ...filter }: ParkedQuery = {}): Promise<ParkedPage> {
    if (!/^\d{1,18}$/.test(cursor)) throw invalid(`the cursor "${cursor.slice(0, 40)}" is of no page before`);
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) throw invalid('limit must be from 1 to 1000');
    const { rows } = await this.#query<Row & MessageRow & ParkedRow>(
      this.statements.parked,
      cursor,
      limit,
      ...filterOf(filter),
    );
    const messages: ParkedMessage[] = rows.map((row) => parkedOf(row, messageOf(row)));
    const last = rows.at(-1);
    return rows.length < limit || last === undefined ? { messages } : { messages, cursor: last.position };
  }

  /** Messages that were given up are tried again, as often as new ones, in their old places. @returns how many */
  resend(filter: ParkedFilter = {}): Promise<number> {
    return this.#change(this.statements.resend, filter);
  }

  /** Messages that were given up are deleted, and their keys go on without them. @returns how many */
  discard(filter: ParkedFilter): Promise<number> {
    return this.#change(this.statements.discard, filter);
  }

  /** How much waits, by provider; none where nothing does. */
  async depth(): Promise<readonly OutboxDepth[]> {
    const { rows } = await this.#query<Row & OutboxDepth>(this.statements.depth);
    return rows;
  }

  /** For the module: the application is there. */
  move(home: OutboxHome): void {
    this.#home = home;
  }

  get #living(): OutboxHome {
    if (this.#home !== undefined) return this.#home;
    throw new EventingError(
      'EVT_NOT_RUNNING',
      'The outbox belongs to no application that runs: import PostgresOutboxModule.forRoot(outbox), and use it after the start.',
    );
  }

  async #change(statement: string, filter: ParkedFilter): Promise<number> {
    const { rows } = await this.#query<Row & { count: number }>(
      statement,
      ...filterOf(filter),
      this.statements.channel,
    );
    return rows[0]?.count ?? 0;
  }

  async #query<R extends Row>(text: string, ...values: readonly unknown[]): Promise<{ readonly rows: readonly R[] }> {
    const { database, service } = this.#living;
    return database.query<R>(text, [service, ...values]);
  }
}

interface ParkedRow {
  readonly position: string;
  readonly provider: string;
  readonly attempts: number;
  readonly error: string | null;
  readonly failed_at: number;
}

const filterOf = ({ provider, channel, key, id }: ParkedFilter): readonly unknown[] => [
  provider ?? null,
  channel ?? null,
  key ?? null,
  id ?? null,
];

const invalid = (what: string): EventingError => new EventingError('EVT_INVALID_OPTIONS', `outbox.failed(): ${what}.`);
