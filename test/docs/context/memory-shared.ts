import assert from 'node:assert/strict';
import { type DynamicModule, type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventListener, EventManager, memory, MemoryBroker } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders' })
class OrderPlaced {
  orderId!: number;
}

@EventListener(OrderPlaced)
class Recorder implements EventListener<OrderPlaced> {
  readonly heard: number[] = [];

  on({ orderId }: OrderPlaced): void {
    this.heard.push(orderId);
  }
}

function start(eventing: DynamicModule): Promise<INestApplicationContext> {
  @Module({ imports: [eventing], providers: [Recorder] })
  class AppModule {}

  return NestFactory.createApplicationContext(AppModule, { logger: ['error'] });
}

// the snippet

const first = await start(orders1);
const second = await start(orders2);
const other = await start(payments);
const all = Array.from({ length: 64 }, (_, orderId) => orderId);
await Promise.all(all.map((orderId) => other.get(EventManager).sendEvent(OrderPlaced, { orderId })));
await broker.idle();

const heard = (app: INestApplicationContext): number[] => app.get(Recorder).heard;
const sorted = (ids: readonly number[]): number[] => [...ids].sort((a, b) => a - b);
assert.deepEqual(sorted(heard(other)), all, 'another service has a copy');
assert.deepEqual(sorted([...heard(first), ...heard(second)]), all, 'instances of one service compete');
assert(heard(first).length > 0 && heard(second).length > 0, 'and share');
for (const app of [first, second, other]) await app.close();
