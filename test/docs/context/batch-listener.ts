import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  BatchError,
  type BatchEventListener,
  DeadLetters,
  type Envelope,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

@Injectable()
class SearchIndex {
  readonly sizes: number[] = [];

  async bulk(orders: readonly OrderPlaced[]): Promise<{ readonly error?: Error }[]> {
    this.sizes.push(orders.length);
    return orders.map(({ orderId }) => (orderId === 'bad' ? { error: new Error('no such field') } : {}));
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [IndexOrders, SearchIndex],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const events = app.get(EventManager);
await Promise.all(['1', '2', 'bad', '3'].map((orderId) => events.sendEvent(OrderPlaced, { orderId })));
await broker.idle();
const { letters } = await app.get(DeadLetters).scan();
const { sizes } = app.get(SearchIndex);
await app.close();

// All together; the bad one five times in all, and nothing else twice.
assert.deepEqual(sizes, [4, 1, 1, 1, 1]);
assert.deepEqual(
  letters.map(({ message, error, attempts }) => [message.key, error.message, attempts]),
  [['bad', 'no such field', 5]],
);
