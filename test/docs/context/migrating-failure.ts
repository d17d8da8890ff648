import assert from 'node:assert/strict';
import { Controller, Module, UseFilters } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, EventPattern, Payload } from '@nestjs/microservices';
import {
  DeadLetters,
  Event,
  EventingModule,
  EventingRuntime,
  EventManager,
  memory,
  MemoryBroker,
  RejectEvent,
} from 'nestjs-eventing';
import {
  EventingExceptionFilter,
  EventingRpcContext,
  EventingTransport,
  listenerOptions,
} from 'nestjs-eventing/microservices';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
  total!: number;
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ service: 'shop', provider: memory({ broker }) })],
  controllers: [ReceiptsController],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
const strategy = new EventingTransport({ runtime: app.get(EventingRuntime), eventClasses: [OrderPlaced] });
app.connectMicroservice({ strategy });
await app.startAllMicroservices();
await app.init();
await app.get(EventManager).sendEvent(OrderPlaced, { orderId: 'one', total: -1 });
await broker.idle();
const { letters } = await app.get(DeadLetters).scan();
await app.close();
assert.deepEqual(
  letters.map(({ listener, reason, attempts, error }) => [listener, reason, attempts, error.message]),
  [['receipts', 'rejected', 1, 'one is hopeless']],
);
