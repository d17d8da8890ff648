import assert from 'node:assert/strict';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventManager, memory, MemoryBroker } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders' })
class OrderPlaced {
  orderId!: string;
}

const order: OrderPlaced = { orderId: '1' };
const broker = new MemoryBroker();
const eventing = EventingModule.forRoot({ provider: memory({ broker }) });
const app = await NestFactory.createApplicationContext(eventing, { logger: ['error'] });
const events = app.get(EventManager);

// the snippet

// The next one, and no other.
await events.sendEvent(OrderPlaced, order);
await app.close();
