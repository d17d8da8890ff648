import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import type { InboxEntry } from 'nestjs-eventing';
import { Pool } from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresBroker, startOwnPostgres } from '../../../../test/brokers/brokers.js';
import { Gate } from '../../../eventing/src/kernel.fixture.js';
import { drizzleTransactions } from '../adapters/drizzle.adapter.js';
import { pgTransactions } from '../adapters/pg.adapter.js';
import { typeOrmTransactions } from '../adapters/typeorm.adapter.js';
import { Shop, until } from '../outbox/outbox.fixture.js';
import type { Sql } from '../sql/database.js';
import { serverDatabase } from '../sql/server.recipe.js';
import type { InboxOptions } from './inbox.options.js';
import { PostgresInbox } from './postgres.inbox.js';

const entryOf = (id: string): InboxEntry => ({
  ...{ listener: 'shop.Count', source: '/shop', id },
  digest: createHash('sha256').update('body').digest(),
});

describe('the inbox on a PostgreSQL server', () => {
  let server: PostgresBroker | undefined;
  let pool: Pool;
  let dataSource: DataSource;
  let schema: string;
  const closing: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    const had = await startOwnPostgres();
    if (!had.available) return;
    server = had;
    const { connectionString } = own().access;
    pool = new Pool({ connectionString, max: 10 });
    pool.on('error', () => undefined);
    dataSource = await new DataSource({ type: 'postgres', url: connectionString }).initialize();
  }, 300_000);
  beforeEach(async ({ skip }) => {
    skip(server === undefined, 'no PostgreSQL');
    schema = `inbox_${randomBytes(4).toString('hex')}`;
  });
  afterEach(async () => {
    for (const close of closing.splice(0)) await close();
  });
  afterAll(async () => {
    await dataSource?.destroy();
    await pool?.end();
    await server?.close();
  });

  function own(): PostgresBroker {
    if (server === undefined) throw new Error('The test should have been skipped.');
    return server;
  }

  const database = () =>
    serverDatabase({ connectionString: own().access.connectionString, connectionTimeout: 60_000 })();

  async function open<Client = Sql>(options: Partial<InboxOptions<Client>> = {}): Promise<PostgresInbox<Client>> {
    const inbox = new PostgresInbox<Client>({ database, schema, ...options });
    closing.push(() => inbox.stop());
    await inbox.start();
    await pool.query(`CREATE TABLE IF NOT EXISTS "${schema}".effects (id text)`);
    return inbox;
  }

  const insert = (): string => `INSERT INTO "${schema}".effects VALUES ($1)`;

  async function effects(): Promise<string[]> {
    const { rows } = await pool.query<{ id: string }>(`SELECT id FROM "${schema}".effects ORDER BY id`);
    return rows.map(({ id }) => id);
  }

  /** Handles, meets again, fails and swallows: with whatever client the listener works. @returns what was a duplicate, what failed */
  async function journey<Client>(
    inbox: PostgresInbox<Client>,
    effect: (id: string) => Promise<unknown>,
  ): Promise<unknown[]> {
    const seen: unknown[] = [];
    const handle = async (id: string, after?: () => Promise<unknown>): Promise<void> => {
      const handled = inbox.once(entryOf(id), async () => {
        await effect(id);
        await after?.();
      });
      seen.push(await handled.then(({ duplicate }) => duplicate, () => 'failed')); // prettier-ignore
    };
    await handle('1');
    await handle('1');
    await handle('2', () => Promise.reject(new Error('no')));
    await handle('2');
    await handle('3', () => effect('a text with \u0000 in it').catch(() => undefined));
    seen.push(await effects());
    await handle('3');
    return [...seen, await effects()];
  }
  const JOURNEY = [false, true, 'failed', false, 'failed', ['1', '2'], false, ['1', '2', '3']];

  it('joins what a listener does by the database of its own', async () => {
    const inbox = await open();
    expect(await journey(inbox, (id) => inbox.transaction().query(insert(), [id]))).toEqual(JOURNEY);
  });

  it('joins what a listener does by a client of pg', async () => {
    const inbox = await open({ transactions: pgTransactions(pool, { prepare: true }) });
    expect(await journey(inbox, (id) => inbox.transaction().query(insert(), [id]))).toEqual(JOURNEY);
  });

  it("joins what a listener does by TypeORM's manager", async () => {
    const inbox = await open({ transactions: typeOrmTransactions(dataSource) });
    expect(await journey(inbox, (id) => inbox.transaction().query(insert(), [id]))).toEqual(JOURNEY);
  });

  it("joins what a listener does by Drizzle's transaction", async () => {
    const inbox = await open({ transactions: drizzleTransactions(drizzle(pool), sql) });
    const table = (): ReturnType<typeof sql.raw> => sql.raw(`"${schema}".effects`);
    const effect = async (id: string) => inbox.transaction().execute(sql`INSERT INTO ${table()} VALUES (${id})`);
    expect(await journey(inbox, effect)).toEqual(JOURNEY);
  });

  it('has one of two processes wait for the other, and then know the event', async () => {
    const [one, two] = [await open(), await open()];
    const [entered, gate] = [new Gate(), new Gate()];
    const first = one.once(entryOf('1'), async () => {
      await one.transaction().query(insert(), ['1']);
      entered.open();
      await gate.promise;
    });
    await entered.promise;
    let ran = false;
    const second = two.once(entryOf('1'), async () => void (ran = true));
    await until('it waits', waiting);
    gate.open();
    expect([(await first).duplicate, (await second).duplicate, ran, await effects()]).toEqual([
      false,
      true,
      false,
      ['1'],
    ]);
  });

  it('has the one that waits do it where the other fails', async () => {
    const [one, two] = [await open(), await open()];
    const [entered, gate] = [new Gate(), new Gate()];
    const first = one.once(entryOf('1'), async () => {
      await one.transaction().query(insert(), ['one']);
      entered.open();
      await gate.promise;
    });
    first.catch(() => undefined);
    await entered.promise;
    const second = two.once(entryOf('1'), async () => void (await two.transaction().query(insert(), ['two'])));
    await until('it waits', waiting);
    gate.fail(new Error('no'));
    await expect(first).rejects.toThrow('no');
    expect([(await second).duplicate, await effects()]).toEqual([false, ['two']]);
  });

  it('has one effect and one output of each event, however often it comes, with everything at once', async () => {
    const shop = await new Shop(await database(), schema).start();
    closing.push(() => shop.stop());
    const [one, two] = [await open({ outbox: shop.outbox }), await open({ outbox: shop.outbox })];
    const ids = Array.from({ length: 40 }, (_, index) => String(index + 100));
    const handle = (inbox: PostgresInbox, id: string): Promise<unknown> =>
      inbox.once(entryOf(id), async (unitOfWork) => {
        await inbox.transaction().query(insert(), [id]);
        const headers = {};
        await unitOfWork.stage('default', {
          id,
          channel: 'out',
          key: 'k',
          headers,
          body: Buffer.alloc(1),
          time: 0,
          durable: true,
        });
      });
    await Promise.all(ids.flatMap((id) => [handle(one, id), handle(two, id), handle(one, id)]));
    await shop.empty();
    expect([await effects(), [...shop.ids].sort()]).toEqual([ids, ids]);
  });

  it('handles each event once in batches that overlap, in any order, without a deadlock', async () => {
    const [one, two] = [await open(), await open()];
    const ids = Array.from({ length: 60 }, (_, index) => String(index + 100));
    const handle = (inbox: PostgresInbox, batch: readonly string[]): Promise<unknown> =>
      inbox.onceAll(batch.map(entryOf), async (fresh) => {
        for (const index of fresh) await inbox.transaction().query(insert(), [batch[index]]);
      });
    const slices = Array.from({ length: 12 }, (_, index) => ids.slice(index * 4, index * 4 + 16));
    const work = slices.flatMap((slice) => [handle(one, slice), handle(two, slice.toReversed())]);
    await Promise.all([...work, ...ids.map((id) => handle(two, [id]))]);
    expect(await effects()).toEqual(ids);
  });

  it('keeps nothing of what was under way when the server was killed, and does it after', async () => {
    const inbox = await open();
    const [entered, gate] = [new Gate(), new Gate()];
    const killed = inbox.once(entryOf('1'), async () => {
      await inbox.transaction().query(insert(), ['1']);
      entered.open();
      await gate.promise;
    });
    killed.catch(() => undefined);
    await entered.promise;
    await own().kill();
    gate.open();
    await expect(killed).rejects.toThrow(/connection|terminat|ECONN/i);
    await own().restart();
    await until('it is back', () =>
      effects().then(
        () => true,
        () => false,
      ),
    );
    const handle = () => inbox.once(entryOf('1'), async () => void (await inbox.transaction().query(insert(), ['1'])));
    await until('it goes on', () =>
      handle().then(
        () => true,
        () => false,
      ),
    );
    expect([(await handle()).duplicate, await effects()]).toEqual([true, ['1']]);
  });

  async function waiting(): Promise<boolean> {
    const { rows } = await pool.query(`SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock'`);
    return rows.length > 0;
  }
});
