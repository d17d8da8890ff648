import { AsyncLocalStorage } from 'node:async_hooks';
import { Logger } from '@nestjs/common';
import {
  Alarm,
  type Clock,
  EventingError,
  type Inbox,
  type InboxBatchOutcome,
  type InboxEntry,
  type InboxOutcome,
  type ProviderLogger,
  type StagedMessage,
  systemClock,
  type UnitOfWork,
} from 'nestjs-eventing';
import { databaseTransactions } from '../adapters/pg.adapter.js';
import type { TransactionAdapter, TransactionRunner } from '../adapters/transaction.adapter.js';
import { prepareSchema } from '../migrations/prepare.schema.js';
import { PURGED, Retention } from '../outbox/retention.js';
import type { Database, Sql } from '../sql/database.js';
import { InboxBatch } from './inbox.batch.js';
import { entryValues, knownOutputs, outputsJson, wentMeanwhile } from './inbox.entry.js';
import { type InboxOptions, type ResolvedInboxOptions, resolveInboxOptions } from './inbox.options.js';
import { InboxStatements } from './inbox.statements.js';

/**
 * Remembers what exactly-once listeners have handled, in the transaction of what they did. Give it to `forRoot({ inbox })`; a listener
 * joins by `inbox.transaction()`.
 */
export class PostgresInbox<Client = Sql> implements Inbox {
  readonly #options: ResolvedInboxOptions<Client>;
  readonly #statements: InboxStatements;
  readonly #current = new AsyncLocalStorage<{ readonly client: Client; open: boolean }>();
  #database: Database | undefined;
  #transactions: TransactionRunner<Client> | undefined;
  #retention: Retention | undefined;
  #alarm = new Alarm();
  #ended = false;

  /** @throws EventingError EVT_INVALID_OPTIONS */
  constructor(
    options: InboxOptions<Client>,
    private readonly clock: Clock = systemClock,
    private readonly logger: ProviderLogger = new Logger('Eventing'),
  ) {
    this.#options = resolveInboxOptions(options);
    this.#statements = new InboxStatements(this.#options.schema);
  }

  async start(): Promise<void> {
    const { schema, topology, retention } = this.#options;
    const { clock, logger } = this;
    // One after another, for several applications made of one module.
    this.#ended = false;
    this.#alarm = new Alarm();
    const database = await this.#options.database();
    this.#database = database;
    // As long as the start waits, or nobody does any more.
    const waiting = {
      who: 'The inbox',
      patience: Infinity,
      clock,
      logger,
      alarm: this.#alarm,
      ended: () => this.#ended,
    };
    try {
      await prepareSchema(database, schema, topology, waiting);
    } finally {
      // It may have been stopped before there was anything to close.
      if (this.#ended) await database.close();
    }
    if (this.#ended) return;
    // Without runners of the user's, a client is the database's own.
    this.#transactions =
      this.#options.transactions ?? (databaseTransactions(database) as unknown as TransactionRunner<Client>);
    const purge = async (): Promise<number> =>
      (await database.query(this.#statements.purge, [retention, PURGED])).affected;
    this.#retention = new Retention(purge, this.clock, this.logger);
    this.#retention.start();
  }

  async stop(): Promise<void> {
    this.#ended = true;
    this.#alarm.wake();
    await this.#retention?.stop();
    await this.#database?.close();
    this.#transactions = undefined;
    this.#current.disable();
  }

  /**
   * What the event that is being handled here is handled in: the client that the runner of transactions gave. Everything that is done
   * by it commits with the record that the event was handled, or not at all.
   * @throws EventingError EVT_TRANSACTION_FAILED outside of a listener, and after it has returned
   */
  transaction(): Client {
    const current = this.#current.getStore();
    if (current?.open === true) return current.client;
    throw new EventingError(
      'EVT_TRANSACTION_FAILED',
      `${current === undefined ? 'There is no transaction of an inbox here' : 'The transaction of the inbox is over'}: call transaction() in a listener with guarantee: 'exactly-once', and await what it does.`,
    );
  }

  async once(entry: InboxEntry, work: (unitOfWork: UnitOfWork) => Promise<void>): Promise<InboxOutcome> {
    return this.#open(async (client, adapter) => {
      const entered = await adapter(this.#statements.enter, entryValues(entry));
      if (entered.length === 0) {
        const [row] = await adapter(this.#statements.find, [entry.listener, entry.source, entry.id]);
        if (row === undefined) throw wentMeanwhile(entry);
        return { duplicate: true, outputs: knownOutputs(row, entry) };
      }
      return { duplicate: false, outputs: await this.#within(client, adapter, entry, work) };
    });
  }

  async onceAll(
    entries: readonly InboxEntry[],
    work: (fresh: readonly number[], unitOfWork: UnitOfWork) => Promise<void>,
  ): Promise<InboxBatchOutcome> {
    const [first] = entries;
    if (first === undefined) return { known: new Map(), outputs: [] };
    return this.#open(async (client, adapter) => {
      const batch = new InboxBatch(entries);
      batch.entered(await adapter(this.#statements.enterAll, [first.listener, batch.json]));
      if (batch.asked !== undefined)
        batch.found(await adapter(this.#statements.findAll, [first.listener, batch.asked]));
      const { fresh, known } = batch.result();
      // What the batch sends is kept with the first of them: it is published before any of them is accepted.
      const keeper = entries[fresh[0] ?? -1];
      if (keeper === undefined) return { known, outputs: [] };
      const outputs = await this.#within(client, adapter, keeper, (unitOfWork) => work(fresh, unitOfWork));
      return { known, outputs };
    });
  }

  #open<T>(work: (client: Client, adapter: TransactionAdapter) => Promise<T>): Promise<T> {
    if (this.#transactions !== undefined) return this.#transactions(work);
    const text = 'The inbox is not started, or was stopped: nothing can be handled.';
    return Promise.reject(new EventingError('EVT_NOT_RUNNING', text));
  }

  /** Runs a listener in the transaction. @returns what is to be published by whoever asked; with an outbox nothing is */
  async #within(
    client: Client,
    adapter: TransactionAdapter,
    entry: InboxEntry,
    work: (unitOfWork: UnitOfWork) => Promise<void>,
  ): Promise<readonly StagedMessage[]> {
    const current = { client, open: true };
    const run = (unitOfWork: UnitOfWork): Promise<void> => this.#current.run(current, () => work(unitOfWork));
    try {
      return await this.#handle(adapter, entry, run);
    } finally {
      current.open = false;
    }
  }

  async #handle(
    adapter: TransactionAdapter,
    { listener, source, id }: InboxEntry,
    work: (unitOfWork: UnitOfWork) => Promise<void>,
  ): Promise<readonly StagedMessage[]> {
    const outbox = this.#options.outbox?.begin(adapter);
    if (outbox !== undefined) {
      try {
        await work(outbox);
      } catch (error) {
        await outbox.abandon(error);
        throw error;
      }
      await outbox.end();
      return [];
    }
    const staged: StagedMessage[] = [];
    await work({ stage: async (provider, message) => void staged.push({ provider, message }) });
    if (staged.length > 0) await adapter(this.#statements.keepOutputs, [listener, source, id, outputsJson(staged)]);
    return staged;
  }
}
