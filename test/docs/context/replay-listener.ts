import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type Envelope,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  EventReplays,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
  total!: number;
}

const seen: [orderId: string, isReplay: boolean][] = [];

@EventListener(OrderPlaced)
class CountOrders implements EventListener<OrderPlaced> {
  on({ orderId }: OrderPlaced, { isReplay }: Envelope<OrderPlaced>): void {
    seen.push([orderId, isReplay]);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [CountOrders, Rebuild],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const begin = new Date();
for (const orderId of ['1', '2', '3']) await app.get(EventManager).sendEvent(OrderPlaced, { orderId, total: 5 });
await broker.idle();
assert.equal(seen.length, 3);

const rebuild = app.get(Rebuild);
assert.deepEqual(await rebuild.since(begin), { handled: 3, skipped: 0, deadLettered: 0, discarded: 0, complete: true });
assert.equal(seen.filter(([, isReplay]) => isReplay).length, 3);
assert.equal(await rebuild.revenue(), 15);
await app.close();
