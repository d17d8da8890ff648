import { migrate } from 'nestjs-eventing/postgres';
import { Client } from 'pg';
import { orderNumber } from './order.event.js';
import { headersOf } from './postgres.twin.js';

/** A schema and how many rows its large table has. */
export interface Filled {
  readonly schema: string;
  readonly rows: number;
}

export const SMALL: Filled = { schema: 'small', rows: 100_000 };
export const LARGE: Filled = { schema: 'large', rows: 10_000_000 };

/** Of a server that is to be filled quickly: what is stored by the transaction that empties its table needs no log of its own. */
export const FILLED_SERVER: Readonly<Record<string, string>> = {
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '4GB',
  maintenance_work_mem: '512MB',
};

/** About as long as those of ours. */
const HEADERS = JSON.stringify(headersOf('00000000-0000-4000-8000-000000000000'));
const BODY = JSON.stringify(orderNumber(0));
const ID = `'00000000-0000-4000-8000-' || lpad(n::text, 12, '0')`;

/** Fills one table in both schemas, and settles it. */
async function fill(url: string, table: string, statements: (filled: Filled) => readonly string[]): Promise<void> {
  const client = new Client(url);
  await client.connect();
  for (const filled of [SMALL, LARGE]) {
    await migrate({ connectionString: url, schema: filled.schema });
    await client.query('BEGIN');
    for (const statement of [`TRUNCATE ${filled.schema}.${table}`, ...statements(filled)])
      await client.query(statement);
    await client.query('COMMIT');
    await client.query(`VACUUM ANALYZE ${filled.schema}.${table}`);
  }
  await client.query('CHECKPOINT');
  await client.end();
}

export const fillLog = (url: string): Promise<void> =>
  fill(url, 'events', ({ schema, rows }) => [
    `INSERT INTO ${schema}.channels (name, partitions) VALUES ('orders', 16)`,
    `INSERT INTO ${schema}.events (channel, partition, stored_at, time, id, key, headers, body)
      SELECT 'orders', n % 16, now() - (${rows} - n) * interval '10 milliseconds', 1790000000000 + n, ${ID}, 'order-' || n % 1000,
        '${HEADERS}', '${BODY}'::bytea
      FROM generate_series(1, ${rows}) AS n`,
  ]);

/** Everything in it was published, and is kept. */
export const fillOutbox = (url: string): Promise<void> =>
  fill(url, 'outbox', ({ schema, rows }) => [
    `INSERT INTO ${schema}.outbox (service, provider, id, channel, key, headers, body, time, durable, state, attempts, stored_at, settled_at)
      SELECT 'bench', 'default', ${ID}, 'orders', 'order-' || n % 1000, '${HEADERS}', '${BODY}'::bytea, 1790000000000 + n, true, 'sent', 1,
        now() - (${rows} - n) * interval '10 milliseconds', now() - (${rows} - n) * interval '10 milliseconds'
      FROM generate_series(1, ${rows}) AS n`,
  ]);

/** With random ids, as events have them: an index that is made afterwards is made sooner. */
export const fillInbox = (url: string): Promise<void> =>
  fill(url, 'inbox', ({ schema, rows }) => [
    `ALTER TABLE ${schema}.inbox DROP CONSTRAINT inbox_pkey`,
    `DROP INDEX ${schema}.inbox_handled`,
    `INSERT INTO ${schema}.inbox (listener, source, id, digest, handled_at)
      SELECT 'bench.Bench', '/bench', gen_random_uuid()::text, sha256(n::text::bytea), now() - (${rows} - n) * interval '10 milliseconds'
      FROM generate_series(1, ${rows}) AS n`,
    `ALTER TABLE ${schema}.inbox ADD CONSTRAINT inbox_pkey PRIMARY KEY (listener, source, id)`,
    `CREATE INDEX inbox_handled ON ${schema}.inbox (handled_at)`,
  ]);
