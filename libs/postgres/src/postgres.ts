import type { ProviderFactory } from 'nestjs-eventing';
import { type EmbeddedOptions, type PostgresOptions, resolveEmbeddedOptions, resolvePostgresOptions } from './postgres.options.js'; // prettier-ignore
import { migrateSchema } from './migrations/migrate.js';
import { connectionError } from './postgres.errors.js';
import { PostgresProvider } from './postgres.provider.js';
import type { Database } from './sql/database.js';
import { EmbeddedDatabase } from './sql/embedded.database.js';
import { quotedSchema } from './sql/schema.name.js';
import { ServerDatabase } from './sql/server.database.js';
import { SharedDatabase } from './sql/shared.database.js';

/** A provider on a database, which an outbox or an inbox can use too. */
export interface PostgresFactory extends ProviderFactory {
  /** Opens it; of a server with connections of its own. Whoever opens it closes it. */
  readonly database: () => Promise<Database>;
}

/**
 * Events in tables of a PostgreSQL 13 or newer. Needs `pg`, and `umzug` to create the tables.
 *
 * Throws EVT_INVALID_OPTIONS at once for options that cannot be used. See docs/providers/postgres.md.
 */
export function postgres(options: PostgresOptions): PostgresFactory {
  const { log, server } = resolvePostgresOptions(options);
  const source = { kind: 'postgres', lanes: 2, open: ServerDatabase.open.bind(ServerDatabase, server) } as const;
  const database = (): Promise<Database> => ServerDatabase.open(server, UNWATCHED);
  return {
    kind: 'postgres',
    create: (context) => new PostgresProvider(source, log, context),
    migrate: () => migrate(options),
    database,
  };
}

/**
 * The same tables in a PostgreSQL that runs inside this process and keeps its data in a folder. Needs `@electric-sql/pglite` and `umzug`.
 * All providers that one call of this makes share one database; another process, or another call, is kept out (EVT_FOLDER_LOCKED).
 */
export function embedded(options: EmbeddedOptions): PostgresFactory {
  const { dataDir, ...log } = resolveEmbeddedOptions(options);
  const shared = new SharedDatabase(async () => {
    const database = await EmbeddedDatabase.open(dataDir);
    await endLeases(database, log.schema);
    return database;
  });
  const source = { kind: 'embedded', lanes: 1, open: () => shared.use() } as const;
  const database = (): Promise<Database> => shared.use();
  return {
    kind: 'embedded',
    create: (context) => new PostgresProvider(source, log, context),
    migrate: () => migrate(options),
    database,
  };
}

/**
 * Creates the tables, or brings them up to this version of the package: what a start with `topology: 'create'` does, for those who do it
 * before, with a user who may.
 *
 * @returns the names of the steps that were run; empty where there was nothing to do
 * @throws EventingError EVT_INVALID_OPTIONS, EVT_AUTHENTICATION, EVT_CONNECTION, EVT_SCHEMA_NEWER, EVT_SCHEMA_LOCKED,
 * EVT_READ_ONLY, EVT_FOLDER_LOCKED
 */
export async function migrate(options: PostgresOptions | EmbeddedOptions): Promise<readonly string[]> {
  const { schema, database } = await openFor(options);
  try {
    return await migrateSchema(database, schema);
  } catch (error) {
    throw connectionError(error);
  } finally {
    await database.close();
  }
}

const UNWATCHED = { up: (): void => undefined, down: (): void => undefined };

async function openFor(
  options: PostgresOptions | EmbeddedOptions,
): Promise<{ readonly schema: string; readonly database: Database }> {
  if ('dataDir' in options) {
    const { schema, dataDir } = resolveEmbeddedOptions(options);
    return { schema, database: await EmbeddedDatabase.open(dataDir) };
  }
  const { log, server } = resolvePostgresOptions(options);
  return { schema: log.schema, database: await ServerDatabase.open(server, UNWATCHED) };
}

/** Whoever had the folder before is gone: the lock says so. Nobody has to wait until its leases end by themselves. */
async function endLeases(database: Database, name: string): Promise<void> {
  const schema = quotedSchema(name);
  const { rows } = await database.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [
    `${schema}.positions`,
  ]);
  if (rows[0]?.there !== true) return;
  await database.query(`UPDATE ${schema}.positions SET expires_at = now() WHERE owner IS NOT NULL`);
  await database.query(`UPDATE ${schema}.members SET expires_at = now()`);
}
