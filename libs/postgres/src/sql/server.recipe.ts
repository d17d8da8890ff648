import { type PostgresOptions, resolvePostgresOptions } from '../postgres.options.js';
import type { Database } from './database.js';
import { ServerDatabase } from './server.database.js';

/** How to reach a server: what `postgres()` takes of it. */
export type ServerDatabaseOptions = Pick<
  PostgresOptions,
  | 'connectionString'
  | 'host'
  | 'port'
  | 'user'
  | 'password'
  | 'database'
  | 'ssl'
  | 'applicationName'
  | 'poolSize'
  | 'connectionTimeout'
  | 'statementTimeout'
  | 'livenessInterval'
  | 'livenessTimeout'
>;

const unwatched = { up: (): void => undefined, down: (): void => undefined };

/**
 * A database on a server, for an outbox or an inbox: each that opens it has connections of its own.
 * @throws EventingError EVT_INVALID_OPTIONS
 */
export function serverDatabase(options: ServerDatabaseOptions): () => Promise<Database> {
  const { server } = resolvePostgresOptions(options);
  return () => ServerDatabase.open(server, unwatched);
}
