import { Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Event, EventingModule, EventListener, EventManager, memory } from 'nestjs-eventing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RecordingLogger, refusal } from '../../../eventing/src/kernel.fixture.js';
import { databaseTransactions } from '../adapters/pg.adapter.js';
import { Outbox } from './outbox.js';
import { MemoryDatabase, until } from './outbox.fixture.js';
import { PostgresOutboxModule } from './outbox.module.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'order' })
class OrderPlaced {
  order!: string;
}
@Event({ name: 'orders.billed', channel: 'bills', key: 'order' })
class OrderBilled {
  order!: string;
}

describe('the module of an outbox', () => {
  let database: MemoryDatabase;
  beforeAll(async () => {
    database = await MemoryDatabase.open();
  }, 120_000);
  afterAll(() => database.end());

  it('gives an application its outbox, from its start to the end of its last listener', async () => {
    const run = databaseTransactions(database);
    const billed: string[] = [];

    @Injectable()
    class Orders {
      constructor(
        private readonly outbox: Outbox,
        private readonly events: EventManager,
      ) {}
      place(order: string): Promise<unknown> {
        return run((_sql, adapter) => this.outbox.within(adapter, () => this.events.sendEvent(OrderPlaced, { order })));
      }
    }
    @EventListener(OrderPlaced)
    class Bill {
      constructor(
        private readonly outbox: Outbox,
        private readonly events: EventManager,
      ) {}
      on({ order }: OrderPlaced): Promise<unknown> {
        return run((_sql, adapter) => this.outbox.within(adapter, () => this.events.sendEvent(OrderBilled, { order })));
      }
    }
    @EventListener(OrderBilled)
    class Watch {
      async on(
        { order }: OrderBilled,
        { causationId, correlationId }: { causationId?: string; correlationId: string },
      ) {
        billed.push(
          `${order} ${causationId === undefined ? 'alone' : 'caused'} ${correlationId === '' ? '' : 'known'}`,
        );
      }
    }
    const logger = new RecordingLogger();
    const outbox = new Outbox({ database: async () => database, pollInterval: 50 });
    @Module({
      imports: [
        EventingModule.forRoot({ service: 'shop', provider: memory(), logger }),
        PostgresOutboxModule.forRoot(outbox),
      ],
      providers: [Orders, Bill, Watch],
    })
    class App {}

    const app = await Test.createTestingModule({ imports: [App] }).compile();
    await app.init();
    for (const order of ['a', 'b']) await app.get(Orders).place(order);
    await until('both are billed', () => billed.length === 2);
    expect(billed).toEqual(['a caused known', 'b caused known']);
    await app.close();
    expect(logger.lines.filter((line) => /^(?:warn|error)/.test(line))).toEqual([]);
    // It has let its lease go.
    const { rows } = await database.query(`SELECT expires_at < now() AS over FROM eventing.outbox_relays`);
    expect(rows).toEqual([{ over: true }]);
  });

  it('refuses the start where the schema is not there and may not be made', async () => {
    @Module({ providers: [{ provide: 'schema', useValue: 'not_there' }], exports: ['schema'] })
    class Configuration {}
    const outbox = PostgresOutboxModule.forRootAsync({
      imports: [Configuration],
      inject: ['schema'],
      useFactory: async (schema: string) => new Outbox({ database: async () => database, schema }),
    });
    const logger = new RecordingLogger();
    @Module({ imports: [EventingModule.forRoot({ topology: 'check', logger }), outbox] })
    class App {}
    const app = await Test.createTestingModule({ imports: [App] }).compile();
    expect((await refusal(app.init())).code).toBe('EVT_TOPOLOGY');
    await app.close().catch(() => undefined);
  });
});
