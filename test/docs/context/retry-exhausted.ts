import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DeadLetters,
  Event,
  EventingHealth,
  EventingModule,
  EventListener,
  EventListeners,
  EventManager,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

@Injectable()
class Ledger {
  isOpen = false;
  readonly booked: string[] = [];

  async book(orderId: string): Promise<void> {
    if (!this.isOpen) throw new Error('the ledger is closed');
    this.booked.push(orderId);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [
    EventingModule.forRoot({
      provider: memory({ broker }),
      listeners: { KeepLedger: { retry: { backoff: [1] } } },
    }),
  ],
  providers: [Ledger, KeepLedger],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const health = app.get(EventingHealth);
for (const orderId of ['1', '2']) await app.get(EventManager).sendEvent(OrderPlaced, { orderId });
while ((await health.check()).eventing.status === 'up') await new Promise((resolve) => setTimeout(resolve, 1));
assert.match(
  (await health.check()).eventing.message ?? '',
  /^KeepLedger has stopped at orders .*: the ledger is closed$/,
);

const ledger = app.get(Ledger);
ledger.isOpen = true;
app.get(EventListeners).resume('KeepLedger');
await broker.idle();
assert.deepEqual(ledger.booked.toSorted(), ['1', '2']);
assert.equal((await health.check()).eventing.status, 'up');
assert.deepEqual((await app.get(DeadLetters).list()).letters, []);
await app.close();
