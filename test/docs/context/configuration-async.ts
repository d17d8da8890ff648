import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  Event,
  EventingModule,
  type EventingOptions,
  EventListener,
  EventListeners,
  EventManager,
  memory,
} from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';

@Injectable()
class Config {
  readonly isProduction: boolean = false;
  readonly brokers = ['localhost:9092'];
  readonly region = 'eu';
  readonly receiptConcurrency = undefined;
}

@Module({ providers: [Config], exports: [Config] })
class ConfigModule {}

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

@EventListener(OrderPlaced)
class SendReceipt implements EventListener<OrderPlaced> {
  on(): void {}
}

// the snippet

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await app.get(EventManager).sendEvent(OrderPlaced, { orderId: '1' });
const [listener] = app.get(EventListeners).list();
await app.close();
assert.deepEqual(listener?.channels, ['eu.orders']);
assert.equal(listener.retry, 'retry 8 in place');
