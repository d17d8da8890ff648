import { createHash } from 'node:crypto';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type BatchEventListener,
  DeadLetters,
  Event,
  EventingModule,
  EventingError,
  EventListener,
  EventManager,
  type InboxBatchOutcome,
  type InboxEntry,
  MemoryBroker,
  memory,
  type OutgoingMessage,
} from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { refusal, refusalOf, RecordingLogger, VirtualClock } from '../../../eventing/src/kernel.fixture.js';
import { MemoryDatabase, Shop, until } from '../outbox/outbox.fixture.js';
import type { Sql } from '../sql/database.js';
import type { InboxOptions } from './inbox.options.js';
import { PostgresInbox } from './postgres.inbox.js';

const entryOf = (id: string, body = 'body', listener = 'shop.Count'): InboxEntry => ({
  ...{ listener, source: '/shop', id },
  digest: createHash('sha256').update(body).digest(),
});

const message = (id: string): OutgoingMessage => ({
  ...{ id, channel: 'orders', key: 'k', time: 5, durable: true },
  headers: { text: 'a', bytes: Uint8Array.of(0, 255) },
  body: Uint8Array.of(0, 1, 255),
});

describe('the inbox', () => {
  let database: MemoryDatabase;
  let schema: string;
  let tests = 0;
  const inboxes: PostgresInbox[] = [];
  beforeAll(async () => {
    database = await MemoryDatabase.open();
  }, 120_000);
  beforeEach(() => {
    schema = `inbox_${++tests}`;
    database.onQuery = () => undefined;
  });
  afterEach(() => Promise.all(inboxes.splice(0).map((inbox) => inbox.stop())));
  afterAll(() => database.end());

  async function open(options: Partial<InboxOptions<Sql>> = {}, clock?: VirtualClock): Promise<PostgresInbox> {
    const inbox = new PostgresInbox({ database: async () => database, schema, ...options }, clock);
    inboxes.push(inbox);
    await inbox.start();
    await database.query(`CREATE TABLE IF NOT EXISTS "${schema}".effects (id text)`);
    return inbox;
  }

  async function effects(): Promise<number> {
    const { rows } = await database.query<{ count: number }>(`SELECT count(*)::int AS count FROM "${schema}".effects`);
    return rows[0]?.count ?? 0;
  }

  const effect = (inbox: PostgresInbox, id = 'x'): Promise<unknown> =>
    inbox.transaction().query(`INSERT INTO "${schema}".effects VALUES ($1)`, [id]);

  it('handles an event once, and knows it the second time', async () => {
    const inbox = await open();
    const first = await inbox.once(entryOf('1'), async () => void (await effect(inbox)));
    const second = await inbox.once(entryOf('1'), async () => void (await effect(inbox)));
    expect([first, second]).toEqual([
      { duplicate: false, outputs: [] },
      { duplicate: true, outputs: [] },
    ]);
    expect(await effects()).toBe(1);
  });

  it('takes another listener, source or id for another event', async () => {
    const inbox = await open();
    const entries = [entryOf('1'), entryOf('2'), entryOf('1', 'body', 'shop.Other'), { ...entryOf('1'), source: '/b' }];
    for (const entry of entries) await inbox.once(entry, async () => void (await effect(inbox)));
    expect(await effects()).toBe(4);
  });

  it('keeps nothing of what failed, and rejects with why', async () => {
    const inbox = await open();
    const why = new Error('no');
    const failing = inbox.once(entryOf('1'), async () => {
      await effect(inbox);
      throw why;
    });
    await expect(failing).rejects.toBe(why);
    expect(await effects()).toBe(0);
    const again = await inbox.once(entryOf('1'), async () => void (await effect(inbox)));
    expect([again.duplicate, await effects()]).toEqual([false, 1]);
  });

  it('refuses one id with another body, and does not run it', async () => {
    const inbox = await open();
    await inbox.once(entryOf('1'), async () => undefined);
    const error = await refusal(inbox.once(entryOf('1', 'another'), async () => void (await effect(inbox))));
    expect([error.code, await effects()]).toEqual(['EVT_INBOX_CONFLICT', 0]);
  });

  it('gives what was sent, the first time and each time after', async () => {
    const inbox = await open();
    const sent = [message('a'), message('b')];
    const first = await inbox.once(entryOf('1'), async (unitOfWork) => {
      for (const one of sent) await unitOfWork.stage('audit', one);
    });
    expect(first.outputs).toEqual(sent.map((one) => ({ provider: 'audit', message: one })));
    const second = await inbox.once(entryOf('1'), async () => undefined);
    expect(second.duplicate).toBe(true);
    expect(second.outputs.map(({ provider, message: one }) => [provider, one.id, one.channel, one.key])).toEqual([
      ['audit', 'a', 'orders', 'k'],
      ['audit', 'b', 'orders', 'k'],
    ]);
    expect([...(second.outputs[0]?.message.body ?? [])]).toEqual([0, 1, 255]);
    expect(second.outputs[0]?.message.headers['bytes']).toEqual(Buffer.of(0, 255));
  });

  it('leaves what was sent to the outbox of the same transaction', async () => {
    const shop = await new Shop(database, schema).start();
    const inbox = await open({ outbox: shop.outbox });
    const outcome = await inbox.once(entryOf('1'), async (unitOfWork) => {
      await unitOfWork.stage('default', message('a'));
    });
    expect(outcome).toEqual({ duplicate: false, outputs: [] });
    await expect(
      inbox.once(entryOf('2'), async (unitOfWork) => {
        await unitOfWork.stage('default', message('b'));
        throw new Error('no');
      }),
    ).rejects.toThrow('no');
    await shop.empty();
    expect(shop.ids).toEqual(['a']);
    await shop.stop();
  });

  it('asks one statement more of the database than the listener does', async () => {
    const inbox = await open();
    await inbox.once(entryOf('1'), async () => void (await effect(inbox)));
    database.texts.length = 0;
    await inbox.once(entryOf('2'), async () => void (await effect(inbox)));
    // Embedded, one more asks whether the transaction is still good.
    expect(database.texts.filter((text) => text !== 'select 1').map((text) => text.split(' (')[0])).toEqual([
      `INSERT INTO "${schema}".inbox`,
      `INSERT INTO "${schema}".effects VALUES`,
    ]);
  });

  it('asks none more for a batch, however many events it has', async () => {
    const inbox = await open();
    const batch = Array.from({ length: 100 }, (_, index) => entryOf(`b${index}`));
    await inbox.onceAll([entryOf('0')], async () => undefined);
    database.texts.length = 0;
    const outcome = await inbox.onceAll(batch, async (fresh) => void (await effect(inbox, String(fresh.length))));
    expect([outcome.known.size, await effects()]).toEqual([0, 1]);
    expect(database.texts.filter((text) => /inbox /.test(text)).map((text) => text.split(' (')[0])).toEqual([
      `INSERT INTO "${schema}".inbox`,
    ]);
  });

  it('handles of a batch what is new, once, and gives for the rest what was sent then', async () => {
    const inbox = await open();
    await inbox.once(entryOf('1'), async (unitOfWork) => unitOfWork.stage('audit', message('a')));
    await inbox.once(entryOf('2'), async () => undefined);
    const batch = [
      entryOf('3'),
      entryOf('1'),
      entryOf('4'),
      entryOf('2', 'another'),
      entryOf('3'),
      entryOf('4', 'other'),
    ];
    const seen: (readonly number[])[] = [];
    const run = () =>
      inbox.onceAll(batch, async (fresh, unitOfWork) => {
        seen.push(fresh);
        await effect(inbox);
        await unitOfWork.stage('audit', message('b'));
      });
    const first = await run();
    expect([seen, first.outputs.map((one) => one.message.id), await effects()]).toEqual([[[0, 2]], ['b'], 1]);
    const shown = ({ known }: InboxBatchOutcome) =>
      Object.fromEntries([...known].map(([index, each]) => [index, each instanceof EventingError ? each.code : each.map((one) => one.message.id)])); // prettier-ignore
    expect(shown(first)).toEqual({ 1: ['a'], 3: 'EVT_INBOX_CONFLICT', 4: [], 5: 'EVT_INBOX_CONFLICT' });
    // What the batch sent is kept with its first.
    const second = await run();
    expect([seen.length, second.outputs, await effects()]).toEqual([1, [], 1]);
    expect(shown(second)).toEqual({
      ...{ 0: ['b'], 1: ['a'], 2: [], 3: 'EVT_INBOX_CONFLICT', 4: ['b'], 5: 'EVT_INBOX_CONFLICT' },
    });
  });

  it('keeps nothing of a batch that failed', async () => {
    const inbox = await open();
    const why = new Error('no');
    const batch = [entryOf('1'), entryOf('2')];
    const failing = inbox.onceAll(batch, async () => {
      await effect(inbox);
      throw why;
    });
    await expect(failing).rejects.toBe(why);
    const again = await inbox.onceAll(batch, async () => void (await effect(inbox)));
    expect([again.known.size, await effects()]).toEqual([0, 1]);
    expect(await inbox.onceAll([], async () => undefined)).toEqual({ known: new Map(), outputs: [] });
  });

  it('leaves what a batch sent to the outbox of the same transaction', async () => {
    const shop = await new Shop(database, schema).start();
    const inbox = await open({ outbox: shop.outbox });
    const outcome = await inbox.onceAll([entryOf('1'), entryOf('2')], async (_fresh, unitOfWork) => {
      await unitOfWork.stage('default', message('a'));
    });
    expect(outcome.outputs).toEqual([]);
    await shop.empty();
    expect(shop.ids).toEqual(['a']);
    await shop.stop();
  });

  it('keeps what a log shows of an event, whatever is in it', async () => {
    const inbox = await open();
    const about = {
      event: 'orders.placed',
      version: 2,
      channel: 'orders',
      key: `a\0\ud800${'x'.repeat(5000)}`,
      attempt: 3,
    };
    await inbox.once({ ...entryOf('1'), about }, async () => undefined);
    await inbox.onceAll([{ ...entryOf('2'), about }, entryOf('3')], async () => undefined);
    const { rows } = await database.query(
      `SELECT id, event, version, channel, left(key, 4) AS key, length(key) AS length, attempts FROM "${schema}".inbox ORDER BY id`,
    );
    const known = {
      event: 'orders.placed',
      version: 2,
      channel: 'orders',
      key: 'a\uFFFD\uFFFDx',
      length: 500,
      attempts: 3,
    };
    const none = { event: null, version: null, channel: null, key: null, length: null, attempts: null };
    expect(rows).toEqual([
      { id: '1', ...known },
      { id: '2', ...known },
      { id: '3', ...none },
    ]);
  });

  it('does not take for done what the database rolled back, although the listener swallowed why', async () => {
    const inbox = await open();
    const swallowing = inbox.once(entryOf('1'), async () => {
      await effect(inbox);
      await inbox
        .transaction()
        .query('SELECT 1 / 0')
        .catch(() => undefined);
    });
    await expect(swallowing).rejects.toThrow(/aborted|Failed query/);
    const again = await inbox.once(entryOf('1'), async () => undefined);
    expect([again.duplicate, await effects()]).toEqual([false, 0]);
  });

  it('has a transaction for the listener only, and for as long as it runs', async () => {
    const inbox = await open();
    expect(refusalOf(() => inbox.transaction()).code).toBe('EVT_TRANSACTION_FAILED');
    let later: () => unknown = () => undefined;
    await inbox.once(entryOf('1'), async () => {
      const gate = new Promise<void>((resolve) => (later = resolve));
      void gate.then(() => (later = () => refusalOf(() => inbox.transaction())));
    });
    later();
    await new Promise((resolve) => setImmediate(resolve));
    expect(later()).toMatchObject({ code: 'EVT_TRANSACTION_FAILED' });
  });

  it('forgets what is older than its retention, in batches', async () => {
    const clock = new VirtualClock();
    const inbox = await open({ retention: 60_000 }, clock);
    await database.query(
      `INSERT INTO "${schema}".inbox SELECT 'shop.Count', '/shop', 'old ' || n, '', NULL, now() - interval '1 hour'
       FROM generate_series(1, 2500) n`,
    );
    await inbox.once(entryOf('1'), async () => undefined);
    await clock.advance(60_000);
    const left = async (): Promise<number> => {
      const found = await database.query<{ count: number }>(`SELECT count(*)::int AS count FROM "${schema}".inbox`);
      return found.rows[0]?.count ?? 0;
    };
    await until('the old ones are gone', async () => (await left()) === 1);
    expect((await inbox.once(entryOf('1'), async () => undefined)).duplicate).toBe(true);
  });

  it('runs nothing before its start and after its stop', async () => {
    const inbox = new PostgresInbox({ database: async () => database, schema });
    expect((await refusal(inbox.once(entryOf('1'), async () => undefined))).code).toBe('EVT_NOT_RUNNING');
    await inbox.start();
    await inbox.stop();
    expect((await refusal(inbox.once(entryOf('1'), async () => undefined))).code).toBe('EVT_NOT_RUNNING');
  });

  it('can be started again after its stop, for the next application of the same module', async () => {
    const inbox = new PostgresInbox({ database: async () => database, schema });
    await inbox.start();
    await inbox.stop();
    await inbox.start();
    expect(await inbox.once(entryOf('again'), async () => undefined)).toMatchObject({ duplicate: false });
    await inbox.stop();
  });

  it('names every option that cannot be used', () => {
    const options = { database: 5 as never, schema: 'A B', retention: 1, topology: 'none' as 'check', pool: 1 };
    const error = refusalOf(() => new PostgresInbox(options));
    expect(error.code).toBe('EVT_INVALID_OPTIONS');
    for (const name of ['database', 'schema', 'retention', 'topology', 'pool'])
      expect(error.message).toContain(`\`${name}\``);
  });

  it('makes a listener of an application exactly-once: an event that comes twice has one effect and one output', async () => {
    @Event({ name: 'orders.placed', key: 'order' })
    class OrderPlaced {
      order!: string;
    }
    @Event({ name: 'orders.counted', key: 'order' })
    class OrderCounted {
      order!: string;
    }
    const inbox = new PostgresInbox({ database: async () => database, schema });
    const counted: string[] = [];
    let calls = 0;

    @EventListener(OrderPlaced, { guarantee: 'exactly-once' })
    class Count {
      constructor(private readonly events: EventManager) {}
      async on({ order }: OrderPlaced): Promise<void> {
        await inbox.transaction().query(`INSERT INTO "${schema}".effects VALUES ($1)`, [order]);
        await this.events.sendEvent(OrderCounted, { order });
        if (calls++ === 0) throw new Error('the first attempt fails');
      }
    }
    @EventListener(OrderCounted)
    @Injectable()
    class Watch {
      async on({ order }: OrderCounted): Promise<void> {
        counted.push(order);
      }
    }
    const broker = new MemoryBroker();
    const logger = new RecordingLogger();
    @Module({
      imports: [EventingModule.forRoot({ service: 'shop', provider: memory({ broker }), inbox, logger })],
      providers: [Count, Watch],
    })
    class App {}
    const app = await Test.createTestingModule({ imports: [App] }).compile();
    await app.init();
    await database.query(`CREATE TABLE "${schema}".effects (id text)`);
    const events = app.get(EventManager);
    for (let time = 0; time < 2; time++) await events.sendEvent(OrderPlaced, { order: 'o' }, { id: 'placed-1' });
    await events.sendEvent(OrderPlaced, { order: 'p' }, { id: 'placed-2' });
    await until('all are handled', async () => (await effects()) === 2 && counted.length >= 2);
    await app.close();
    expect(await effects()).toBe(2);
    // The output of a duplicate is published again, under the id it had.
    expect([...new Set(counted)].sort()).toEqual(['o', 'p']);
  });

  it('makes a batch listener exactly-once: duplicates do nothing, and one id with two bodies is a dead letter', async () => {
    @Event({ name: 'orders.placed', key: 'order' })
    class OrderPlaced {
      order!: string;
    }
    @Event({ name: 'orders.counted', key: 'order' })
    class OrdersCounted {
      order!: string;
    }
    const inbox = new PostgresInbox({ database: async () => database, schema });
    const batches: string[][] = [];
    const counted: string[] = [];

    @EventListener(OrderPlaced, { batch: { size: 4, wait: 20 }, guarantee: 'exactly-once' })
    class Count implements BatchEventListener<OrderPlaced> {
      constructor(private readonly events: EventManager) {}
      async onBatch(orders: readonly OrderPlaced[]): Promise<void> {
        batches.push(orders.map(({ order }) => order));
        for (const { order } of orders)
          await inbox.transaction().query(`INSERT INTO "${schema}".effects VALUES ($1)`, [order]);
        await this.events.sendEvent(OrdersCounted, { order: orders.map(({ order }) => order).join() });
        if (orders.length > 1 && batches.length === 1) throw new Error('the first batch fails');
      }
    }
    @EventListener(OrdersCounted)
    @Injectable()
    class Watch {
      async on({ order }: OrdersCounted): Promise<void> {
        counted.push(order);
      }
    }
    const logger = new RecordingLogger();
    const provider = memory({ broker: new MemoryBroker() });
    @Module({
      imports: [EventingModule.forRoot({ service: 'shop', provider, inbox, logger })],
      providers: [Count, Watch],
    })
    class App {}
    const app = await Test.createTestingModule({ imports: [App] }).compile();
    await app.init();
    await database.query(`CREATE TABLE "${schema}".effects (id text)`);
    const events = app.get(EventManager);
    const place = (order: string, id = order): Promise<unknown> => events.sendEvent(OrderPlaced, { order }, { id });
    const orders = ['a', 'b', 'c', 'd'];
    for (const order of orders) await place(order);
    await until(
      'all are handled, alone after their batch',
      async () => (await effects()) === 4 && counted.length === 4,
    );
    for (const order of [...orders, 'e']) await place(order);
    await place('other', 'a');
    const letters = app.get(DeadLetters);
    await until('the new one is handled, and the forged one is not', async () => (await effects()) === 5 && (await letters.list()).letters.length === 1); // prettier-ignore
    expect((await letters.list()).letters[0]).toMatchObject({ error: { code: 'EVT_INBOX_CONFLICT' } });
    await until('its output is there', () => counted.includes('e'));
    await app.close();
    const { rows } = await database.query(`SELECT id FROM "${schema}".effects ORDER BY 1`);
    expect(rows.map((row) => row['id'])).toEqual([...orders, 'e']);
    expect([batches[0], [...new Set(counted)].sort()]).toEqual([orders, [...orders, 'e']]);
  });
});
