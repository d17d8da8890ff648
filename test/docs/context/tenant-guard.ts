import assert from 'node:assert/strict';
import { type CanActivate, type ExecutionContext, Injectable, Module, UseGuards } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
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
class Tenants {
  has(tenant: string | undefined): boolean {
    return tenant === 'acme';
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [SendReceipt, Tenants],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const events = app.get(EventManager);
await events.sendEvent(OrderPlaced, { orderId: '1' }, { headers: { tenant: 'acme' } });
await events.sendEvent(OrderPlaced, { orderId: '2' }, { headers: { tenant: 'other' } });
await broker.idle();
const { letters } = await app.get(DeadLetters).scan();
await app.close();

// What the page says of a guard that denies.
assert.deepEqual(
  letters.map(({ reason, attempts, message }) => [reason, attempts, message.key]),
  [['rejected', 1, '2']],
);
