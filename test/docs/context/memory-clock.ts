import assert from 'node:assert/strict';
import { type DynamicModule, type INestApplicationContext, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventListener, EventManager, memory, MemoryBroker } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

const order: OrderPlaced = { orderId: '1' };
let attempts = 0;

@EventListener(OrderPlaced, { retry: { attempts: 4, delay: 10_000, factor: 1 } })
class SendReceipt implements EventListener<OrderPlaced> {
  on(): void {
    attempts++;
    throw new Error('not yet');
  }
}

function start(eventing: DynamicModule): Promise<INestApplicationContext> {
  @Module({ imports: [eventing], providers: [SendReceipt] })
  class AppModule {}

  return NestFactory.createApplicationContext(AppModule, { logger: false });
}

const began = performance.now();

// the snippet

// At 0 s, 10 to 12 s, 20 to 24 s; the fourth is due at 30 to 36 s.
assert(attempts === 3 || attempts === 4, `${attempts} attempts`);
await clock.advance(6_000);
assert.equal(attempts, 4);
assert(performance.now() - began < 30_000);
await app.close();
