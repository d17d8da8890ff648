import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Event, EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecordingLogger } from '../../../eventing/src/kernel.fixture.js';
import { databaseTransactions } from '../adapters/pg.adapter.js';
import { until } from '../outbox/outbox.fixture.js';
import { Outbox } from '../outbox/outbox.js';
import { PostgresOutboxModule } from '../outbox/outbox.module.js';
import { embedded } from '../postgres.js';
import { PostgresInbox } from './postgres.inbox.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
}
@Event({ name: 'orders.billed', channel: 'bills', key: 'order' })
class OrderBilled {
  order!: string;
}

describe('provider, outbox and inbox on one embedded database', () => {
  let dataDir: string;
  beforeAll(async () => {
    dataDir = await mkdtemp(join(tmpdir(), 'eventing-'));
  });
  afterAll(() => rm(dataDir, { recursive: true, force: true }));

  // To make a database in a folder takes its time on a busy machine.
  it('wait for each other and not for themselves, and give it back at the end', { timeout: 240_000 }, async () => {
    const store = embedded({ dataDir, partitions: 2 });
    const outbox = new Outbox({ database: store.database, pollInterval: 50 });
    const inbox = new PostgresInbox({ database: store.database, outbox });
    const billed: string[] = [];

    @EventListener(OrderPlaced, { guarantee: 'exactly-once' })
    class Bill {
      constructor(private readonly events: EventManager) {}
      async on({ order }: OrderPlaced): Promise<void> {
        await inbox.transaction().query('INSERT INTO bills VALUES ($1)', [order]);
        await this.events.sendEvent(OrderBilled, { order });
      }
    }
    @EventListener(OrderBilled)
    class Watch {
      on({ order }: OrderBilled): void {
        billed.push(order);
      }
    }
    const logger = new RecordingLogger();
    @Module({
      imports: [
        EventingModule.forRoot({ service: 'shop', provider: store, inbox, logger }),
        PostgresOutboxModule.forRoot(outbox),
      ],
      providers: [Bill, Watch],
    })
    class App {}

    const database = await store.database();
    await database.query('CREATE TABLE bills (order_id text)');
    const app = await Test.createTestingModule({ imports: [App] }).compile();
    await app.init();
    const events = app.get(EventManager);
    const orders = ['a', 'b', 'c', 'd'];
    await databaseTransactions(database)((_sql, adapter) =>
      outbox.within(adapter, () => Promise.all(orders.map((order) => events.sendEvent(OrderPlaced, { order })))),
    );
    await until('all are billed', () => billed.length === orders.length);
    expect([...billed].sort()).toEqual(orders);
    const { rows } = await database.query('SELECT order_id FROM bills ORDER BY 1');
    expect(rows.map((row) => row['order_id'])).toEqual(orders);
    await app.close();
    await database.close();
    expect(logger.lines.filter((line) => /^(?:warn|error)/.test(line))).toEqual([]);
    // Nobody holds the folder any more.
    const again = await embedded({ dataDir }).database();
    expect((await again.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    await again.close();
  });
});
