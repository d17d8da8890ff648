import { settledWithin } from 'nestjs-eventing';
import type { ClientConfig, Pool, PoolClient, PoolConfig } from 'pg';
import { isLostConnection, NotConnectedError } from '../postgres.errors.js';
import { loadLibrary } from './client.library.js';
import type { Database, QueryResult, Row, Sql } from './database.js';
import { rolledBack } from './rolled.back.js';
import type { ConnectionWatcher, ServerConnection } from './server.options.js';
import { StatementNames } from './statement.names.js';
import { WatchConnection } from './watch.connection.js';

const CLOSE_TIMEOUT = 2_000;

/** A PostgreSQL server: a pool of connections for statements, and one that listens. */
export class ServerDatabase implements Database {
  readonly kind = 'server';
  private readonly names = new StatementNames();
  private closed: Promise<void> | undefined;

  private constructor(
    private readonly pool: Pool,
    private readonly watch: WatchConnection,
  ) {
    // An idle connection that breaks is replaced when the next one is needed.
    pool.on('error', () => undefined);
  }

  /** Loads the client library; connects when the first statement is run. */
  static async open(connection: ServerConnection, watcher: ConnectionWatcher): Promise<ServerDatabase> {
    const { Client, Pool } = await loadLibrary('pg', 'postgres()', () => import('pg'));
    const config = configOf(connection);
    const pool = new Pool({ ...config, max: connection.poolSize, idleTimeoutMillis: 30_000 });
    return new ServerDatabase(pool, new WatchConnection(() => new Client(config), connection, watcher));
  }

  query<R extends Row = Row>(text: string, values: readonly unknown[] = []): Promise<QueryResult<R>> {
    return this.withClient((client) => this.run<R>(client, text, values));
  }

  transaction<T>(work: (sql: Sql) => Promise<T>): Promise<T> {
    return this.withClient(async (client, spoil) => {
      await client.query('BEGIN');
      try {
        const result = await work({ query: (text, values = []) => this.run(client, text, values) });
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
    this.closed ??= Promise.all([this.watch.close(), settledWithin(this.pool.end(), CLOSE_TIMEOUT)]).then(
      () => undefined,
    );
    return this.closed;
  }

  private async run<R extends Row>(
    client: PoolClient,
    text: string,
    values: readonly unknown[],
  ): Promise<QueryResult<R>> {
    const { rows, rowCount } = await client.query({ ...this.names.named(text), values: [...values] });
    return { rows: rows as R[], affected: rowCount ?? 0 };
  }

  private async withClient<T>(work: (client: PoolClient, spoil: () => void) => Promise<T>): Promise<T> {
    const client = await this.pool.connect().catch((error: unknown) => {
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
