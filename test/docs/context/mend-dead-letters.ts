import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DeadLetters,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
  RejectEvent,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

let closed = true;
const sent: string[] = [];

@EventListener(OrderPlaced, { retry: { attempts: 2, delay: 1 } })
class SendReceipt implements EventListener<OrderPlaced> {
  on({ orderId }: OrderPlaced): void {
    if (orderId === 'hopeless') throw new RejectEvent('hopeless');
    if (closed) throw new Error('closed');
    sent.push(orderId);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [SendReceipt, Mending],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
// One key after the other, so that it is known which letter is the older one.
const orders = ['hopeless', ...Array.from({ length: 50 }, (_, index) => `order-${index}`)];
for (const orderId of orders) {
  await app.get(EventManager).sendEvent(OrderPlaced, { orderId });
  await broker.idle();
}

const mending = app.get(Mending);
const first = await mending.look();
assert.equal(first.letters.length, 50);
assert.deepEqual(
  first.letters.slice(0, 2).map(({ reason, message }) => [reason, message.key]),
  [
    ['rejected', 'hopeless'],
    ['failed', 'order-0'],
  ],
);
const second = await mending.look(first.cursor);
assert.deepEqual(
  second.letters.map(({ message }) => message.key),
  ['order-49'],
);

closed = false;
await mending.mend();
await broker.idle();
assert.deepEqual([...sent].sort(), orders.slice(1).sort());
assert.deepEqual((await mending.look()).letters, []);
await app.close();
