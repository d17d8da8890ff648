import assert from 'node:assert/strict';
import { Injectable, Module, Scope } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Envelope, Event, EventingModule, EventListener, EventManager, memory, MemoryBroker } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [Audit, Session],
})
class AppModule {}

const said: unknown[] = [];
const log = console.log;
console.log = (line: unknown): void => void said.push(line);
const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
const events = app.get(EventManager);
await events.sendEvent(OrderPlaced, { orderId: '1' }, { headers: { user: 'ada' } });
await events.sendEvent(OrderPlaced, { orderId: '2' }, { headers: { user: 'bob' } });
await broker.idle();
await app.close();
console.log = log;
assert.deepEqual(said.toSorted(), ['ada placed 1', 'bob placed 2']);
