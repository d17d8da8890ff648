import { AsyncLocalStorage } from 'node:async_hooks';
import { Logger } from '@nestjs/common';
import {
  type Clock,
  EventingError,
  type Inbox,
  type InboxEntry,
  type InboxOutcome,
  type OutgoingMessage,
  type ProviderLogger,
  type StagedMessage,
  systemClock,
  type UnitOfWork,
} from 'nestjs-eventing';
import { databaseTransactions } from '../adapters/pg.adapter.js';
import type { TransactionAdapter, TransactionRunner } from '../adapters/transaction.adapter.js';
import { prepareSchema } from '../migrations/prepare.schema.js';
import { type MessageJson, messageFromJson, messageToJson } from '../outbox/message.json.js';
import { PURGED, Retention } from '../outbox/retention.js';
import type { Database, Sql } from '../sql/database.js';
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
    const database = await this.#options.database();
    this.#database = database;
    await prepareSchema(database, schema, topology);
    // Without runners of the user's, a client is the database's own.
    this.#transactions =
      this.#options.transactions ?? (databaseTransactions(database) as unknown as TransactionRunner<Client>);
    const purge = async (): Promise<number> =>
      (await database.query(this.#statements.purge, [retention, PURGED])).affected;
    this.#retention = new Retention(purge, this.clock, this.logger);
    this.#retention.start();
  }

  async stop(): Promise<void> {
    await this.#retention?.stop();
    await this.#database?.close();
    this.#transactions = undefined;
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
    const transactions = this.#transactions;
    if (transactions === undefined)
      throw new EventingError('EVT_NOT_RUNNING', 'The inbox is not started, or was stopped: nothing can be handled.');
    return transactions(async (client, adapter) => {
      const { listener, source, id, digest } = entry;
      const entered = await adapter(this.#statements.enter, [listener, source, id, digest]);
      if (entered.length === 0) return this.#known(adapter, entry);
      const current = { client, open: true };
      const run = (unitOfWork: UnitOfWork): Promise<void> => this.#current.run(current, () => work(unitOfWork));
      try {
        return { duplicate: false, outputs: await this.#handle(adapter, entry, run) };
      } finally {
        current.open = false;
      }
    });
  }

  /** @returns what is to be published by whoever asked; with an outbox nothing is */
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
    if (staged.length > 0) {
      const outputs = staged.map(({ provider, message }) => ({ provider, ...messageToJson(message) }));
      await adapter(this.#statements.keepOutputs, [listener, source, id, JSON.stringify(outputs)]);
    }
    return staged;
  }

  async #known(adapter: TransactionAdapter, { listener, source, id, digest }: InboxEntry): Promise<InboxOutcome> {
    const [row] = await adapter(this.#statements.find, [listener, source, id]);
    // Whoever held the entry has rolled back, or its time was over: the next attempt finds it free.
    if (row === undefined)
      throw new EventingError(
        'EVT_TRANSACTION_FAILED',
        `The entry of the event ${id} for ${listener} went meanwhile: it is tried again.`,
      );
    if (!Buffer.from(row['digest'] as Uint8Array).equals(digest))
      throw new EventingError(
        'EVT_INBOX_CONFLICT',
        `${listener} has handled an event ${id} of ${source} with another body: its sender used one id twice.`,
      );
    const outputs = JSON.parse((row['outputs'] as string | null) ?? '[]') as ({ provider: string } & MessageJson)[];
    return { duplicate: true, outputs: outputs.map(stagedOf) };
  }
}

const stagedOf = ({ provider, ...json }: { provider: string } & MessageJson): StagedMessage => {
  const message: OutgoingMessage = messageFromJson(json);
  return { provider, message };
};
