import type { Database, Row, Sql } from '../sql/database.js';
import { rolledBack } from '../sql/rolled.back.js';
import { PreparedTexts, type Preparing } from './prepared.texts.js';
import { checkAlive, CommitCalls, type TransactionAdapter, type TransactionRunner } from './transaction.adapter.js';

/** What a client of `pg`, a transaction of PGlite and the `Sql` of this room have in common. */
export interface PgQueryable {
  query(text: string, values: unknown[]): Promise<{ readonly rows: readonly unknown[] }>;
}

/** The transaction that a client of `pg` is in. PGlite's `tx` and this room's `Sql` will do as well. */
export function fromPg(client: PgQueryable): TransactionAdapter {
  return async (sql, values) => (await client.query(sql, [...values])).rows as readonly Row[];
}

/** A client that is lent by a `Pool` of `pg`. */
export interface PgPoolClient extends PgQueryable {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly unknown[]; readonly command: string }>;
  on(event: 'error', listener: () => void): unknown;
  off(event: 'error', listener: () => void): unknown;
  release(broken?: boolean): void;
}

export interface PgTransactionsOptions {
  /**
   * Has each connection prepare the statements of outbox and inbox, once: quicker. Not behind a pooler that gives connections to
   * others between transactions, unless it knows prepared statements. @default false
   */
  readonly prepare?: boolean;
}

// One listener a pool, however often it is asked for transactions. Weak: nothing is kept of a pool that is gone.
const heard = new WeakSet<object>();

/** Transactions on clients of a `Pool` of `pg`. */
export function pgTransactions<Client extends PgPoolClient>(
  pool: { connect(): Promise<Client>; on?(event: 'connect', listener: (client: PgPoolClient) => void): unknown },
  { prepare = false }: PgTransactionsOptions = {},
): TransactionRunner<Client> {
  const prepared = new PreparedTexts();
  if (!heard.has(pool)) {
    heard.add(pool);
    // A new client may break before whoever waits for it gets it, while nobody listens: that would end the process.
    pool.on?.('connect', (client) => void client.on('error', () => undefined));
  }
  return async (work) => {
    const client = await pool.connect();
    const commit = new CommitCalls();
    let broken = false;
    // A connection that breaks between two statements would end the process otherwise; the next statement rejects.
    const onError = (): void => void (broken = true);
    client.on('error', onError);
    try {
      await client.query('begin');
      const adapter = prepare ? prepared.adapter(client as unknown as Preparing) : fromPg(client);
      const result = await work(client, commit.of(adapter));
      const { command } = await client.query('commit');
      if (command !== 'COMMIT') throw rolledBack();
      commit.done();
      return result;
    } catch (error) {
      // One whose state nobody knows is not lent again.
      if (!broken) await client.query('rollback').catch(onError);
      throw error;
    } finally {
      client.off('error', onError);
      client.release(broken);
    }
  };
}

/** Transactions of this room's own database. */
export function databaseTransactions(database: Database): TransactionRunner<Sql> {
  return async (work) => {
    const commit = new CommitCalls();
    const result = await database.transaction(async (sql) => {
      const adapter = fromPg(sql);
      const given = await work(sql, commit.of(adapter));
      // Of a server the database tells by itself.
      if (database.kind === 'embedded') await checkAlive(adapter);
      return given;
    });
    commit.done();
    return result;
  };
}
