import assert from 'node:assert/strict';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventListener, EventReplays } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

// the snippet

@Module({ imports: [EventingModule.forRoot()], providers: [ChargeCard] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await assert.rejects(app.get(EventReplays).start({ listener: 'ChargeCard', from: 'earliest' }), {
  code: 'EVT_REPLAY_REFUSED',
});
await app.close();
