import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { PostgresAccess } from '../../../../test/brokers/brokers.js';
import { refusal } from '../../../eventing/src/kernel.fixture.js';
import { until } from '../outbox/outbox.fixture.js';
import type { Database } from '../sql/database.js';
import { serverDatabase } from '../sql/server.recipe.js';
import { migrateSchema } from './migrate.js';
import { migrations } from './migrations.js';

const access = inject('postgres');

describe.skipIf(access === undefined)('migrations on a PostgreSQL server', () => {
  let schema: string;
  let client: Client;
  const open: Database[] = [];
  beforeEach(async () => {
    schema = `migrate_${randomBytes(4).toString('hex')}`;
    client = new Client({ connectionString });
    await client.connect();
  });
  afterEach(async () => {
    await client.query('ROLLBACK');
    await client.query(`DROP SCHEMA IF EXISTS "${schema}" CASCADE`);
    await client.end();
    await Promise.all(open.splice(0).map((database) => database.close()));
  });

  const { connectionString } = access ?? ({ connectionString: '' } as PostgresAccess);
  async function database(options: string = '', statementTimeout = 30_000): Promise<Database> {
    const url = new URL(connectionString);
    if (options !== '') url.searchParams.set('options', options);
    const opened = await serverDatabase({ connectionString: url.href, statementTimeout })();
    open.push(opened);
    return opened;
  }

  const locking = { name: '9998-locking', up: (of: string) => [`ALTER TABLE ${of}.inbox ADD COLUMN spare text`] };
  const slow = { name: '9999-slow', up: () => ['SELECT pg_sleep(1.5)'] };

  it('take their time, whatever the time-outs of statements are, here and there', async () => {
    const steps = [...migrations, slow];
    expect(await migrateSchema(await database('-c statement_timeout=1000', 500), schema, steps)).toHaveLength(
      steps.length,
    );
    const other = await database('-c statement_timeout=300');
    // The setting was for that transaction alone.
    await expect(other.query('SELECT pg_sleep(1.5)')).rejects.toMatchObject({ code: '57014' });
  });

  it('leave no index on the log beside that of its order: each would cost every event', async () => {
    await migrateSchema(await database(), schema);
    const { rows } = await client.query(`SELECT indexname FROM pg_indexes WHERE schemaname = $1 AND tablename = 'events'`, [schema]); // prettier-ignore
    expect(rows).toEqual([{ indexname: 'events_pkey' }]);
  });

  it('wait for a table that is used in small pieces, between which others have their turn', async () => {
    await migrateSchema(await database(), schema);
    await client.query('BEGIN');
    await client.query(`LOCK TABLE "${schema}".inbox IN ACCESS SHARE MODE`);
    const told: string[] = [];
    const migrating = migrateSchema(await database(), schema, [...migrations, locking], {
      ...{ timeout: 100, tries: 1_000, warn: (text: string) => told.push(text) },
    });
    await until('it waits', () => told.length > 0);
    const other = await database();
    for (let round = 0; round < 5; round++) await other.query(`SELECT count(*) FROM "${schema}".inbox`);
    await client.query('COMMIT');
    expect(await migrating).toEqual([locking.name]);
    expect(told).toHaveLength(1);
  });

  it('are given up with a code where the table is never free, and nothing is changed then', async () => {
    await migrateSchema(await database(), schema, migrations.slice(0, -1));
    await client.query('BEGIN');
    await client.query(`LOCK TABLE "${schema}".inbox IN ACCESS SHARE MODE`);
    const error = await refusal(
      migrateSchema(await database(), schema, [...migrations, locking], { timeout: 50, tries: 3 }),
    );
    expect(error.code).toBe('EVT_SCHEMA_LOCKED');
    const { rows } = await client.query(`SELECT name FROM "${schema}".migrations`);
    expect(rows).toHaveLength(migrations.length - 1);
  });

  it('are run by one of several processes, for which the others wait beyond the time that a lock may take', async () => {
    const steps = [...migrations, slow];
    const several = await Promise.all([database(), database(), database()]);
    const runs = await Promise.all(several.map((one) => migrateSchema(one, schema, steps, { timeout: 200, tries: 1 })));
    expect(runs.map(({ length }) => length).toSorted((a, b) => a - b)).toEqual([0, 0, steps.length]);
  });
});
