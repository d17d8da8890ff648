import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DeadLetters,
  Envelope,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
  RejectEvent,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'customerId' })
class OrderPlaced {
  customerId!: string;
}

interface Customer {
  readonly id: string;
}

@Injectable()
class Crm {
  find(id: string, { signal }: { signal: AbortSignal }): Promise<Customer | undefined> {
    signal.throwIfAborted();
    return Promise.resolve(id === 'ada' ? { id } : undefined);
  }
}

@Injectable()
class Mail {
  readonly sent: string[] = [];

  send(customer: Customer, _order: OrderPlaced): Promise<void> {
    this.sent.push(customer.id);
    return Promise.resolve();
  }
}

@EventListener(OrderPlaced)
class SendReceipt implements EventListener<OrderPlaced> {
  constructor(
    private readonly crm: Crm,
    private readonly mail: Mail,
  ) {}

  // the snippet
}

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [Crm, Mail, SendReceipt],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await app.get(EventManager).sendEvent(OrderPlaced, { customerId: 'bob' });
await app.get(EventManager).sendEvent(OrderPlaced, { customerId: 'ada' });
await broker.idle();

assert.deepEqual(app.get(Mail).sent, ['ada']);
const { letters } = await app.get(DeadLetters).scan();
assert.deepEqual(
  letters.map(({ reason, attempts, error }) => [reason, attempts, error.message]),
  [['rejected', 1, 'there is no customer bob']],
);
await app.close();
