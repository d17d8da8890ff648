import { settledWithin } from 'nestjs-eventing';
import type { ClientConfig, Pool, PoolClient, PoolConfig } from 'pg';
import { isLostConnection, NotConnectedError } from '../postgres.errors.js';
import { loadLibrary } from './client.library.js';
import type { Database, QueryResult, Row, Sql, TransactionOptions } from './database.js';
import { rolledBack } from './rolled.back.js';
import type { ConnectionWatcher, ServerConnection } from './server.options.js';
import { StatementNames } from './statement.names.js';
import { WatchConnection } from './watch.connection.js';

const CLOSE_TIMEOUT = 2_000;
/** The client library takes 0 for its default. Milliseconds: what a timer can have. */
const LONGEST_TIMEOUT = 2 ** 31 - 1;
/** Connections for what cannot wait: one subscription whose positions are locked must not hold the others up. */
const RESERVED = 3;

/** A PostgreSQL server: a pool of connections for statements, some for what cannot wait, and one that listens. */
export class ServerDatabase implements Database {
  readonly kind = 'server';
  readonly urgent: Sql = { query: (text, values) => this.runOn(this.reserved, text, values) };
  private readonly names = new StatementNames();
  private closed: Promise<void> | undefined;

  private constructor(
    private readonly pool: Pool,
    /** Few, which are made when they are needed first. */
    private readonly reserved: Pool,
    private readonly watch: WatchConnection,
  ) {
    // An idle connection that breaks is replaced when the next one is needed.
    for (const each of [pool, reserved]) {
      each.on('error', () => undefined);
      each.on('connect', (client) => {
        // It may break before whoever asked for it looks after it; an error that nobody hears would end the process.
        client.on('error', () => undefined);
        // What the planner expects of a large log, not knowing how little is asked for, would have each short statement compiled first.
        void client.query('SET jit = off').catch(() => undefined);
      });
    }
  }

  /** Loads the client library; connects when the first statement is run. */
  static async open(connection: ServerConnection, watcher: ConnectionWatcher): Promise<ServerDatabase> {
    const { Client, Pool } = await loadLibrary('pg', 'postgres()', () => import('pg'));
    const config = configOf(connection);
    const poolOf = (max: number): Pool => new Pool({ ...config, max, idleTimeoutMillis: 30_000 });
    return new ServerDatabase(
      poolOf(connection.poolSize),
      poolOf(RESERVED),
      new WatchConnection(() => new Client(config), connection, watcher),
    );
  }

  query<R extends Row = Row>(text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    return this.runOn(this.pool, text, values);
  }

  transaction<T>(work: (sql: Sql) => Promise<T>, { patient = false }: TransactionOptions = {}): Promise<T> {
    return withClient(this.pool, async (client, spoil) => {
      // Whatever the server's default: what follows a lock is to see what was committed before it was had.
      await client.query('BEGIN ISOLATION LEVEL READ COMMITTED');
      try {
        const result = await work({ query: (text, values = []) => this.run(client, text, values, patient) });
        const { command } = await client.query('COMMIT');
        if (command !== 'COMMIT') throw rolledBack();
        return result;
      } catch (error) {
        // Where this fails too nobody may have the connection again, with a transaction open. The first error says more.
        if (!isLostConnection(error)) await client.query('ROLLBACK').catch(spoil);
        throw error;
      }
    });
  }

  listen(channel: string, heard: (payload: string | undefined) => void): Promise<() => Promise<void>> {
    return this.watch.listen(channel, heard);
  }

  close(): Promise<void> {
    const pools = [this.pool, this.reserved];
    this.closed ??= Promise.all([
      this.watch.close(),
      ...pools.map((pool) => settledWithin(pool.end(), CLOSE_TIMEOUT)),
    ]).then(() => undefined);
    return this.closed;
  }

  private runOn<R extends Row>(pool: Pool, text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    return withClient(pool, (client) => this.run<R>(client, text, values));
  }

  private async run<R extends Row>(
    client: PoolClient,
    text: string,
    values: readonly unknown[],
    patient = false,
  ): Promise<QueryResult<R>> {
    const query = { ...this.names.named(text), values: [...values] };
    // The types of the library do not know it.
    const patience: object = patient ? { query_timeout: LONGEST_TIMEOUT } : {};
    const { rows, rowCount } = await client.query({ ...query, ...patience });
    return { rows: rows as R[], affected: rowCount ?? 0 };
  }
}

async function withClient<T>(pool: Pool, work: (client: PoolClient, spoil: () => void) => Promise<T>): Promise<T> {
  const client = await pool.connect().catch((error: unknown) => {
    throw new NotConnectedError(error);
  });
  let broken = false;
  const onError = (): void => void (broken = true);
  client.on('error', onError);
  try {
    return await work(client, onError);
  } catch (error) {
    broken ||= isLostConnection(error);
    throw error;
  } finally {
    client.off('error', onError);
    // A server that is silent does not answer the farewell either.
    if (broken) client.connection.stream.destroy();
    client.release(broken);
  }
}

function configOf(connection: ServerConnection): ClientConfig & PoolConfig {
  const { connectionString, host, port, user, password, database, ssl } = connection;
  const given = { connectionString, host, port, user, password, database, ssl };
  return {
    // What is not given is left to the library, which looks into PGHOST and its like.
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
    application_name: connection.applicationName,
    connectionTimeoutMillis: connection.connectionTimeout,
    query_timeout: connection.statementTimeout,
    keepAlive: true,
  };
}
