import { createHash } from 'node:crypto';
import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  Event,
  EventingModule,
  EventListener,
  EventManager,
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
});
