import { randomBytes } from 'node:crypto';
import { drizzle } from 'drizzle-orm/node-postgres';
import { sql } from 'drizzle-orm';
import { type Clock, Event, systemClock } from 'nestjs-eventing';
import { Pool } from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type PostgresBroker, startOwnPostgres } from '../../../../test/brokers/brokers.js';
import { Gate, refusal } from '../../../eventing/src/kernel.fixture.js';
import { drizzleTransactions, fromDrizzle } from '../adapters/drizzle.adapter.js';
import { fromPg, pgTransactions } from '../adapters/pg.adapter.js';
import type { TransactionAdapter } from '../adapters/transaction.adapter.js';
import { fromTypeOrm, typeOrmTransactions } from '../adapters/typeorm.adapter.js';
import { PostgresInbox } from '../inbox/postgres.inbox.js';
import type { Database } from '../sql/database.js';
import { serverDatabase } from '../sql/server.recipe.js';
import { Shop, type ShopOptions, until } from './outbox.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
  number!: number;
}

describe('the outbox on a PostgreSQL server', () => {
  let server: PostgresBroker | undefined;
  let pool: Pool;
  let dataSource: DataSource;
  let schema: string;
  const shops: Shop[] = [];
  beforeAll(async () => {
    const had = await startOwnPostgres();
    if (!had.available) return;
    server = had;
    const { connectionString } = own().access;
    pool = new Pool({ connectionString, max: 10 });
    pool.on('error', () => undefined);
    dataSource = await new DataSource({ type: 'postgres', url: connectionString }).initialize();
  }, 300_000);
  beforeEach(({ skip }) => {
    skip(server === undefined, 'no PostgreSQL');
    schema = `shop_${randomBytes(4).toString('hex')}`;
  });
  afterEach(() => Promise.all(shops.splice(0).map((shop) => shop.stop())));
  afterAll(async () => {
    await dataSource?.destroy();
    await pool?.end();
    await server?.close();
  });

  function own(): PostgresBroker {
    if (server === undefined) throw new Error('The test should have been skipped.');
    return server;
  }

  const connect = (): Promise<Database> =>
    serverDatabase({ connectionString: own().access.connectionString, connectionTimeout: 60_000 })();

  async function open(options: ShopOptions = {}): Promise<Shop> {
    const shop = new Shop(await connect(), schema, options);
    shops.push(shop);
    return shop.start();
  }

  const send = (shop: Shop, number: number, key = 'k'): Promise<unknown> =>
    shop.runtime.events.sendEvent(OrderPlaced, { order: key, number }, { id: `${key}-${number}` });

  /** One transaction on a client of the pool. */
  const place = (shop: Shop, numbers: readonly number[], key = 'k'): Promise<void> =>
    pgTransactions(pool)((_client, adapter) =>
      shop.outbox.within(adapter, async () => {
        for (const number of numbers) await send(shop, number, key);
      }),
    );

  /** Numbers of a key as the provider took them, repetitions left out. */
  const numbersOf = (shops_: readonly Shop[], key: string): number[] => [
    ...new Set(
      shops_
        .flatMap((shop) => shop.provider.messages)
        .filter((message) => message.key === key)
        .map(({ id }) => Number(id.split('-')[1])),
    ),
  ];

  const range = (count: number): number[] => Array.from({ length: count }, (_, index) => index);
  const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

  describe('in transactions of', () => {
    type Run = (work: (adapter: TransactionAdapter) => Promise<unknown>) => Promise<unknown>;
    const runs: readonly (readonly [string, () => Run])[] = [
      ['pg', () => (work) => pgTransactions(pool)((_client, adapter) => work(adapter))],
      ['pg, prepared', () => (work) => pgTransactions(pool, { prepare: true })((_client, adapter) => work(adapter))],
      ["pg, the user's own", () => byHand],
      ["TypeORM's manager", () => (work) => dataSource.transaction((manager) => work(fromTypeOrm(manager)))],
      ["TypeORM's query runner", () => byQueryRunner],
      [
        'TypeORM, opened for an inbox',
        () => (work) => typeOrmTransactions(dataSource)((_manager, adapter) => work(adapter)),
      ],
      ['Drizzle', () => (work) => drizzle(pool).transaction((tx) => work(fromDrizzle(tx, sql)))],
      [
        'Drizzle, opened for an inbox',
        () => (work) => drizzleTransactions(drizzle(pool), sql)((_tx, adapter) => work(adapter)),
      ],
    ];

    const byHand: Run = async (work) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await work(fromPg(client));
        await client.query('COMMIT');
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    };

    const byQueryRunner: Run = async (work) => {
      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      try {
        await work(fromTypeOrm(runner));
        await runner.commitTransaction();
      } catch (error) {
        await runner.rollbackTransaction();
        throw error;
      } finally {
        await runner.release();
      }
    };

    it.each(runs)('%s: stored with it, published after it, and gone with it', async (_name, run) => {
      const shop = await open();
      await run()((adapter) =>
        shop.outbox.within(adapter, async () => {
          await send(shop, 0);
          await Promise.all([1, 2, 3].map((number) => send(shop, number)));
          expect(shop.ids).toEqual([]);
        }),
      );
      const failing = run()((adapter) =>
        shop.outbox.within(adapter, async () => {
          await send(shop, 4);
          throw new Error('rolled back');
        }),
      );
      await expect(failing).rejects.toThrow('rolled back');
      await run()((adapter) => shop.outbox.within(adapter, () => send(shop, 5)));
      await shop.empty();
      expect(numbersOf([shop], 'k')).toEqual([0, 1, 2, 3, 5]);
    });
  });

  it('keeps the order of transactions that exclude each other, whichever began first', async () => {
    const shop = await open();
    await pool.query(`CREATE TABLE "${schema}".orders (id text PRIMARY KEY)`);
    await pool.query(`INSERT INTO "${schema}".orders VALUES ('k')`);
    const lock = `SELECT FROM "${schema}".orders WHERE id = 'k' FOR UPDATE`;
    const early = await pool.connect();
    await early.query('BEGIN');
    // It has a transaction id before the other begins, as one that has entered an inbox.
    await early.query(`INSERT INTO "${schema}".orders VALUES ('other')`);
    await pgTransactions(pool)(async (client, adapter) => {
      await client.query(lock);
      await shop.outbox.within(adapter, () => send(shop, 1));
    });
    await early.query(lock);
    await shop.outbox.within(fromPg(early), () => send(shop, 2));
    await early.query('COMMIT');
    early.release();
    await shop.empty();
    expect(numbersOf([shop], 'k')).toEqual([1, 2]);
    expect(shop.ids).toEqual(['k-1', 'k-2']);
  });

  it('is not held up by a transaction that stays open, and finds what that one stored before', async () => {
    const shop = await open();
    const client = await pool.connect();
    await client.query('BEGIN');
    await shop.outbox.within(fromPg(client), () => send(shop, 1, 'slow'));
    for (const number of range(50)) await place(shop, [number]);
    await until('others are published', () => numbersOf([shop], 'k').length === 50);
    await client.query('COMMIT');
    client.release();
    await shop.empty();
    expect(numbersOf([shop], 'slow')).toEqual([1]);
  });

  it('loses nothing and keeps the order of keys while many send at one time', async () => {
    const shop = await open({ outbox: { batch: 50 } });
    const keys = range(8).map((index) => `k${index}`);
    await Promise.all(
      keys.map(async (key) => {
        for (const number of range(40)) await place(shop, [2 * number, 2 * number + 1], key);
      }),
    );
    await shop.empty();
    for (const key of keys) expect(numbersOf([shop], key)).toEqual(range(80));
    expect(shop.ids).toHaveLength(640);
  });

  it('publishes after a crash between commit and relay', async () => {
    // Nobody relays: the process died right after the commit.
    const dead = await open({ outbox: { relay: false } });
    await place(dead, range(10));
    await dead.stop();
    const next = await open();
    await next.empty();
    expect(next.ids).toEqual(range(10).map((number) => `k-${number}`));
  });

  it('repeats under the same ids what a relay published and did not delete when it died', async () => {
    const dead = await open({ outbox: { lease: 1_000 } });
    const published = new Gate();
    dead.provider.onPublish = async () => {
      published.open();
      // It never comes to the delete.
      return new Promise(() => undefined);
    };
    await place(dead, range(5));
    await published.promise;
    const next = await open({ outbox: { lease: 1_000 } });
    // A dead process renews nothing.
    await dead.database.close();
    await next.empty();
    expect([dead.ids, numbersOf([next], 'k')]).toEqual([['k-0'], range(5)]);
    shops.splice(shops.indexOf(dead), 1);
  });

  it('goes from relay to relay with nothing lost, and order kept, while leases are taken away', async () => {
    const processes = [await open({ instance: 'one', outbox: { lease: 1_000, batch: 10 } })];
    processes.push(await open({ instance: 'two', outbox: { lease: 1_000, batch: 10 } }));
    const order: string[] = [];
    for (const { provider } of processes)
      provider.onPublish = async (messages) => {
        order.push(...messages.map(({ id }) => id));
        await wait(2);
        return [];
      };
    const taking = (async () => {
      for (let time = 0; time < 6; time++) {
        await wait(300);
        await pool.query(`UPDATE "${schema}".outbox_relays SET token = token + 1, expires_at = '-infinity'`);
      }
    })();
    const [one] = processes as [Shop, Shop];
    for (const number of range(300)) await place(one, [number], `k${number % 3}`);
    await taking;
    await one.empty();
    for (const key of ['k0', 'k1', 'k2']) {
      const first = [...new Set(order.filter((id) => id.startsWith(`${key}-`)))].map((id) => Number(id.split('-')[1]));
      expect(first).toEqual(range(300).filter((number) => `k${number % 3}` === key));
    }
    const { rows } = await pool.query<{ token: string }>(`SELECT token FROM "${schema}".outbox_relays`);
    expect(Number(rows[0]?.token)).toBeGreaterThan(6);
  });

  it('keeps its lease whatever the clock of the process does', async () => {
    let shift = 0;
    const clock: Clock = { ...systemClock, now: () => Date.now() + shift };
    const one = await open({ instance: 'one', clock, outbox: { lease: 5_000 } });
    const two = await open({ instance: 'two', outbox: { lease: 5_000 } });
    await until('one is the relay', async () => (await holder()) !== undefined);
    const first = await holder();
    for (const jump of [3_600_000, -7_200_000, 30_000]) {
      shift += jump;
      await place(one, [Math.abs(jump)]);
      await one.empty();
    }
    expect(await holder()).toEqual(first);
    expect(one.ids.length + two.ids.length).toBe(3);
  });

  it('loses nothing while the server is killed and comes back', async () => {
    const shop = await open({ outbox: { lease: 2_000 } });
    const stored: number[] = [];
    let number = 0;
    let sending = true;
    const sender = (async () => {
      while (sending) {
        const next = number++;
        await place(shop, [next], 'k').then(
          () => stored.push(next),
          () => wait(20),
        );
      }
    })();
    for (let time = 0; time < 2; time++) {
      await until('it is under way', () => stored.length > (time + 1) * 100);
      await own().kill();
      await wait(300);
      await own().restart();
    }
    const before = stored.length;
    await until('it goes on', () => stored.length > before + 50);
    sending = false;
    await sender;
    await until('all are published', async () => (await shop.count().catch(() => 1)) === 0);
    const published = numbersOf([shop], 'k');
    expect(stored.filter((one) => !published.includes(one))).toEqual([]);
    // A commit whose answer was lost may have been one; its place is right in any case.
    expect(published).toEqual([...published].sort((a, b) => a - b));
  });

  it('refuses a schema of a newer version, and one that it may not create', async () => {
    const shop = await open();
    await shop.stop();
    await (await open({ topology: 'check' })).stop();
    await pool.query(`INSERT INTO "${schema}".migrations (name) VALUES ('9999-later')`);
    expect((await refusal(open())).code).toBe('EVT_SCHEMA_NEWER');
    schema = `${schema}_none`;
    expect((await refusal(open({ topology: 'check' }))).code).toBe('EVT_TOPOLOGY');
  });

  async function holder(): Promise<unknown> {
    const { rows } = await pool.query(`SELECT holder, token FROM "${schema}".outbox_relays`);
    return rows[0];
  }

  it('waits at start for a database that is away, and so does the inbox', async () => {
    await own().kill();
    const inbox = new PostgresInbox({ database: connect, schema });
    const shop = new Shop(await connect(), schema);
    shops.push(shop);
    const starting = Promise.all([shop.start(), inbox.start()]);
    await until(
      'the outbox says that it waits',
      () => shop.logger.having('The outbox waits for its database').length > 0,
    );
    await own().restart();
    await starting;
    await place(shop, [1]);
    await until('it is published', () => shop.ids.includes('k-1'));
    expect(shop.logger.having('waits for its database'), 'said once').toHaveLength(1);
    await inbox.stop();
  });

  it('gives up a database that stays away, in time and with what is wrong', async () => {
    await own().kill();
    try {
      const shop = new Shop(await connect(), schema, { startTimeout: 300 });
      expect((await refusal(shop.start())).code).toBe('EVT_CONNECTION');
      const inbox = new PostgresInbox({ database: connect, schema });
      const starting = refusal(inbox.start());
      await inbox.stop();
      expect((await starting).code).toBe('EVT_CONNECTION');
    } finally {
      await own().restart();
    }
  });
});
