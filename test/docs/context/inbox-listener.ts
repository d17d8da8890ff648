import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventListener, EventManager } from 'nestjs-eventing';
import { embedded, PostgresInbox } from 'nestjs-eventing/postgres';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  total!: number;
}
@Event({ name: 'orders.charged', channel: 'charges', key: 'id' })
class OrderCharged {
  id!: string;
}

const dataDir = await mkdtemp(join(tmpdir(), 'inbox-'));
const store = embedded({ dataDir });

// the snippet

const charged: string[] = [];
@EventListener(OrderCharged)
class Watch implements EventListener<OrderCharged> {
  on({ id }: OrderCharged): void {
    charged.push(id);
  }
}

@Module({
  imports: [EventingModule.forRoot({ service: 'billing', inbox })],
  providers: [Charge, Watch],
})
class AppModule {}

const app = await NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
const database = await store.database();
await database.query('CREATE TABLE charges (id text, amount int)');
const events = app.get(EventManager);
// It comes twice.
for (let time = 0; time < 2; time++) await events.sendEvent(OrderPlaced, { id: 'o-1', total: 3 }, { id: 'e-1' });
for (let time = 0; charged.length === 0 && time < 1000; time++) await sleep(20);
const { rows } = await database.query('SELECT * FROM charges');
assert.deepEqual(rows, [{ id: 'o-1', amount: 3 }]);
await app.close();
await database.close();
await rm(dataDir, { recursive: true });
