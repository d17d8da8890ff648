import assert from 'node:assert/strict';
import { NestFactory } from '@nestjs/core';
import { Event, EventingError, EventingModule, EventManager } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders' })
class OrderPlaced {
  orderId!: string;
}

// One send may be open at a time.
const app = await NestFactory.createApplicationContext(EventingModule.forRoot({ buffer: { maxEvents: 1 } }), {
  logger: ['error'],
});
const events = app.get(EventManager);
const late: string[] = [];

async function place(order: OrderPlaced): Promise<void> {
  const retryLater = (): void => void late.push(order.orderId);
  // the snippet
}

await Promise.all([place({ orderId: 'first' }), place({ orderId: 'second' })]);
assert.deepEqual(late, ['second']);

await app.close();
await assert.rejects(place({ orderId: 'third' }), { code: 'EVT_NOT_RUNNING' });
