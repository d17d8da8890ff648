import assert from 'node:assert/strict';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  type Envelope,
  EnvelopePipeline,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  type ListenerDescriptor,
  memory,
  MemoryBroker,
  type Next,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

// the snippet

@EventListener(OrderPlaced)
class WithoutOptions implements EventListener<OrderPlaced> {
  on(): void {}
}

const listeners = new Map<string, ListenerDescriptor>();

@EnvelopePipeline()
class Looking implements EnvelopePipeline {
  handle(_envelope: Envelope, listener: ListenerDescriptor, next: Next): Promise<void> {
    listeners.set(listener.name, listener);
    return next();
  }
}

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [SendReceipt, WithoutOptions, Looking],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['error'] });
await app.init();
await app.get(EventManager).sendEvent(OrderPlaced, { orderId: '1' });
await broker.idle();
await app.close();

/** What the page says of an option is its default. */
const resolved = (name: string): unknown => {
  const listener = listeners.get(name);
  assert(listener !== undefined, `${name} was not called`);
  const { retry, timeout, timeoutGrace } = listener;
  const delays = Array.from({ length: 20 }, (_, index) => retry.delayAfter(index + 1, () => 0));
  return { attempts: retry.attempts, delays, move: retry.move ?? false, timeout, timeoutGrace };
};
assert.deepEqual(resolved('SendReceipt'), resolved('WithoutOptions'));
