import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { InboxStatements } from '../inbox/inbox.statements.js';
import { migrateSchema } from '../migrations/migrate.js';
import type { Row } from '../sql/database.js';
import { MemoryDatabase } from './outbox.fixture.js';
import { OutboxStatements } from './outbox.statements.js';

const SCHEMA = 'kept';
const ROWS = 20_000;
const YEAR = 365 * 86_400_000;

/** What EXPLAIN tells of a step that reads rows. */
interface Step extends Row {
  readonly 'Node Type': string;
  readonly 'Shared Hit Blocks': number;
  readonly 'Shared Read Blocks': number;
  readonly Plans?: readonly Step[];
}

describe('what is kept as a log', () => {
  let database: MemoryDatabase;
  beforeAll(async () => {
    database = await MemoryDatabase.open();
    await migrateSchema(database, SCHEMA);
    await database.query(
      `INSERT INTO ${SCHEMA}.outbox (service, provider, id, channel, key, headers, body, time, durable, state, settled_at)
        SELECT 'shop', 'default', n, 'orders', n, '{}', '', 0, true, 'sent', now() FROM generate_series(1, ${ROWS}) AS n`,
    );
    await database.query(
      `INSERT INTO ${SCHEMA}.inbox (listener, source, id, digest) SELECT 'shop.Bill', '/shop', n, '' FROM generate_series(1, ${ROWS}) AS n`,
    );
    for (const table of ['outbox', 'inbox']) await database.query(`VACUUM ANALYZE ${SCHEMA}.${table}`);
  }, 120_000);
  afterAll(() => database.end());

  /** Pages that a statement touches. */
  async function pagesOf(text: string, values: readonly unknown[]): Promise<number> {
    const { rows } = await database.query<{ 'QUERY PLAN': readonly [{ readonly Plan: Step }] }>(
      `EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`,
      values,
    );
    const plan = rows[0]?.['QUERY PLAN'][0].Plan;
    if (plan === undefined) throw new Error('there is no plan');
    return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
  }

  const outbox = new OutboxStatements(SCHEMA);
  const inbox = new InboxStatements(SCHEMA);

  it.each([
    ['the depth of the outbox', outbox.depth, ['shop']],
    ['the retention of the outbox', outbox.purge, ['shop', YEAR, 1_000]],
    ['the retention of the inbox', inbox.purge, [YEAR, 1_000]],
    ['a look of the relay', outbox.next('wait'), ['shop', 'default', '1', '0', 500, 8_000_000]],
    ['a page of those that were given up', outbox.parked, ['shop', '0', 100, null, null, null, null]],
  ])('is not read by %s', async (_what, text, values) => {
    // The tables have some hundred pages each.
    expect(await pagesOf(text, values)).toBeLessThan(20);
  });
});
