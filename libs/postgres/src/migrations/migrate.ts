import { Alarm, backoff, EventingError } from 'nestjs-eventing';
import { isLockTimeout } from '../postgres.errors.js';
import { loadLibrary } from '../sql/client.library.js';
import type { Database, Sql } from '../sql/database.js';
import { quotedSchema } from '../sql/schema.name.js';
import type { Migration } from './migration.js';
import { migrations } from './migrations.js';

/** How the locks on tables that others use are waited for. */
export interface LockWaiting {
  /** Told once that it waits. @default nobody */
  readonly warn?: (text: string) => void;
  /** Woken when nobody waits any more; `ended` is true by then. */
  readonly alarm?: Alarm;
  readonly ended?: () => boolean;
  /** Longest wait of one try, in milliseconds: meanwhile everybody else waits behind it. @default 3,000 */
  readonly timeout?: number;
  /** @default 12, which are two minutes at most */
  readonly tries?: number;
}

/**
 * Brings the schema up to what this version of the package needs, and creates it where it is missing. All of it happens or nothing; of
 * several processes that begin at one time one does it and the others wait. A statement may take its time; a lock on a table is waited for in
 * small pieces, between which those behind it have their turn.
 *
 * @returns the names of the steps that were run; empty where there was nothing to do
 * @throws EventingError EVT_SCHEMA_NEWER where a newer version of the package was here before, EVT_CLIENT_MISSING without umzug,
 * EVT_SCHEMA_LOCKED where others kept a table locked for all the tries
 */
export async function migrateSchema(
  database: Database,
  name: string,
  steps: readonly Migration[] = migrations,
  locks: LockWaiting = {},
): Promise<readonly string[]> {
  const { alarm = new Alarm(), tries = 12, timeout = 3_000 } = locks;
  for (let attempt = 1; ; attempt++) {
    try {
      return await migrateOnce(database, name, steps, timeout);
    } catch (error) {
      if (!isLockTimeout(error)) throw error;
      if (attempt >= tries || locks.ended?.() === true) throw schemaLocked(name, error);
      if (attempt === 1)
        locks.warn?.(
          `The schema "${name}" waits for a lock on one of its tables, to be brought up to date: somebody uses it.`,
        );
      await alarm.sleep(backoff(attempt, 200, 5_000));
    }
  }
}

async function migrateOnce(
  database: Database,
  name: string,
  steps: readonly Migration[],
  lockTimeout: number,
): Promise<readonly string[]> {
  const schema = quotedSchema(name);
  const before = await executed(database, schema, steps);
  if (before !== undefined && before.length === steps.length) return [];
  // Loaded where there is something to do: whoever keeps the schema by other means needs none of it.
  const { Umzug } = await loadLibrary('umzug', 'migrations of the schema', () => import('umzug'));
  const migrating = async (sql: Sql): Promise<readonly string[]> => {
    // Also what the server has set for this user or database; nobody else waits behind the lock between processes.
    await sql.query(`SELECT set_config('statement_timeout', '0', true), set_config('lock_timeout', '0', true)`);
    await sql.query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`nestjs-eventing ${name}`]);
    await sql.query(`SELECT set_config('lock_timeout', $1, true)`, [`${lockTimeout}ms`]);
    await sql.query(`CREATE SCHEMA IF NOT EXISTS ${schema}`);
    await sql.query(
      `CREATE TABLE IF NOT EXISTS ${schema}.migrations (name text PRIMARY KEY, executed_at timestamptz NOT NULL DEFAULT now())`,
    );
    const umzug = new Umzug<Sql>({
      migrations: steps.map((step) => ({
        name: step.name,
        up: async ({ context }) => {
          for (const statement of step.up(schema)) await context.query(statement);
        },
      })),
      context: sql,
      logger: undefined,
      storage: {
        executed: async () => [...((await executed(sql, schema, steps)) ?? [])],
        logMigration: async ({ name: step }) => {
          await sql.query(`INSERT INTO ${schema}.migrations (name) VALUES ($1)`, [step]);
        },
        unlogMigration: async ({ name: step }) => {
          await sql.query(`DELETE FROM ${schema}.migrations WHERE name = $1`, [step]);
        },
      },
    });
    return (await umzug.up()).map((step) => step.name);
  };
  return database.transaction(migrating, { patient: true });
}

function schemaLocked(name: string, cause: unknown): EventingError {
  return new EventingError(
    'EVT_SCHEMA_LOCKED',
    `The schema "${name}" could not be brought up to date: a transaction, a backup or maintenance keeps one of its tables locked. ` +
      'See pg_locks and pg_stat_activity for whose it is, end it, and start again or run `npx eventing migrate`.',
    { cause },
  );
}

/**
 * Whether the schema is what this version needs, without changing anything.
 *
 * @throws EventingError EVT_TOPOLOGY where steps are missing, EVT_SCHEMA_NEWER
 */
export async function checkSchema(sql: Sql, name: string, steps: readonly Migration[] = migrations): Promise<void> {
  const found = (await executed(sql, quotedSchema(name), steps)) ?? [];
  const missing = steps.map((step) => step.name).filter((step) => !found.includes(step));
  if (missing.length === 0) return;
  const what = found.length === 0 ? `There is no schema "${name}"` : `The schema "${name}" lacks ${missing.join(', ')}`;
  throw new EventingError(
    'EVT_TOPOLOGY',
    `${what} in this database. Run \`npx eventing migrate\`, or start with topology: 'create'.`,
  );
}

/** Undefined where nobody was here before. */
async function executed(sql: Sql, schema: string, steps: readonly Migration[]): Promise<readonly string[] | undefined> {
  const { rows } = await sql.query<{ there: boolean }>('SELECT to_regclass($1) IS NOT NULL AS there', [
    `${schema}.migrations`,
  ]);
  if (rows[0]?.there !== true) return undefined;
  const found = await sql.query<{ name: string }>(`SELECT name FROM ${schema}.migrations ORDER BY name`);
  const names = found.rows.map((row) => row.name);
  const known = new Set(steps.map((step) => step.name));
  const unknown = names.filter((name) => !known.has(name));
  if (unknown.length === 0) return names;
  throw new EventingError(
    'EVT_SCHEMA_NEWER',
    `The schema ${schema} is of a newer version of nestjs-eventing: it has ${unknown.join(', ')}, which this version does not know. ` +
      'Run the newer version, or give this one a schema of its own (`schema`).',
  );
}
