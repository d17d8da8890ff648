import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { PGlite } from '@electric-sql/pglite';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import {
  type Database,
  Outbox,
  type PgPoolClient,
  PostgresOutboxModule,
  pgTransactions,
} from 'nestjs-eventing/postgres';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  total!: number;
}
type Order = OrderPlaced;

// A pool of one, on a database in memory; what else is asked of it waits for its turn.
const pglite = await PGlite.create();
await pglite.exec('CREATE TABLE orders (id text PRIMARY KEY, total int)');
let last: Promise<void> = Promise.resolve();
async function turn(): Promise<() => void> {
  const before = last;
  let end = (): void => undefined;
  last = new Promise((resolve) => (end = resolve));
  await before;
  return end;
}
class Pool {
  async connect(): Promise<PgPoolClient> {
    const release = await turn();
    const query = async (text: string, values: unknown[] = []) => {
      const { rows } = await pglite.query(text, values);
      return { rows, command: text.toUpperCase() };
    };
    return { query, release, on: () => undefined, off: () => undefined };
  }
}

const run = async <R>(text: string, values: readonly unknown[] = []) => {
  const { rows, affectedRows = 0 } = await pglite.query<R>(text, [...values]);
  return { rows, affected: affectedRows };
};
async function alone<T>(work: () => Promise<T>): Promise<T> {
  const end = await turn();
  return work().finally(end);
}
const database: Database = {
  kind: 'embedded',
  query: (text, values) => alone(() => run(text, values)),
  transaction: (work) =>
    alone(async () => {
      await pglite.query('BEGIN');
      const result = await work({ query: run });
      await pglite.query('COMMIT');
      return result;
    }),
  listen: async (channel, heard) => pglite.listen(`"${channel}"`, heard),
  close: () => Promise.resolve(),
};

// the snippet

@EventListener(OrderPlaced)
class SendReceipt implements EventListener<OrderPlaced> {
  readonly sent: string[] = [];
  on({ id }: OrderPlaced): void {
    this.sent.push(id);
  }
}

const outbox = new Outbox({ database: () => Promise.resolve(database), pollInterval: 20 });
@Module({
  imports: [EventingModule.forRoot({ service: 'shop' }), PostgresOutboxModule.forRoot(outbox)],
  providers: [Orders, Pool, SendReceipt],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
const orders = app.get(Orders);
await orders.place({ id: 'o-1', total: 3 });
// The second is there already: its event goes with it.
await assert.rejects(orders.place({ id: 'o-1', total: 3 }));
await orders.place({ id: 'o-2', total: 4 });
const { sent } = app.get(SendReceipt);
for (let time = 0; sent.length < 2 && time < 1000; time++) await sleep(20);
assert.deepEqual(sent, ['o-1', 'o-2']);
assert.deepEqual(await outbox.depth(), []);
await app.close();
await pglite.close();
