import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Event,
  EventingModule,
  EventListener,
  EventListeners,
  EventManager,
  type ListenerSubscription,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

const receipts: string[] = [];

@EventListener(OrderPlaced)
class SendReceipt implements EventListener<OrderPlaced> {
  on({ orderId }: OrderPlaced): void {
    receipts.push(orderId);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [Operations, SendReceipt],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const operations = app.get(Operations);
const seen: string[] = [];
operations.pauseReceipts();
const tail = await operations.follow(seen);
await app.get(EventManager).sendEvent(OrderPlaced, { orderId: '1' });
while (seen.length === 0) await new Promise((resolve) => setImmediate(resolve));
await tail.unsubscribe();
assert.deepEqual([seen, receipts], [['1'], []]);
app.get(EventListeners).resume('SendReceipt');
await broker.idle();
assert.deepEqual(receipts, ['1']);
await app.close();
