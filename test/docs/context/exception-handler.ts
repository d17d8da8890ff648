import assert from 'node:assert/strict';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DeadLetters,
  Decide,
  Event,
  type EventDecision,
  type EventExceptionContext,
  EventExceptionHandler,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';

@Event({ name: 'payments.due', channel: 'payments', key: 'paymentId' })
class PaymentDue {
  paymentId!: string;
}

class RateLimited extends Error {
  constructor(readonly seconds: number) {
    super('too many requests');
  }
}

// the snippet

let calls = 0;

@EventListener(PaymentDue, { retry: { attempts: 9, delay: 60_000 } })
class Charge implements EventListener<PaymentDue> {
  on(): void {
    calls++;
    throw new RateLimited(0.001);
  }
}

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [Charge, WhenRateLimited],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await app.get(EventManager).sendEvent(PaymentDue, { paymentId: '1' });
await broker.idle();
const { letters } = await app.get(DeadLetters).scan();
await app.close();

// A delay of its own in place of the listener's minute, and an end of its own.
assert.equal(calls, 4);
assert.deepEqual(
  letters.map(({ reason, error }) => [reason, error.message]),
  [['rejected', 'the payment service is overrun']],
);
