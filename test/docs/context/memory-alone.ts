import assert from 'node:assert/strict';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, EventingModule, EventListener, EventManager } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders' })
class OrderPlaced {
  orderId!: string;
}

@EventListener(OrderPlaced)
class SendReceipt implements EventListener<OrderPlaced> {
  readonly sent: string[] = [];

  on({ orderId }: OrderPlaced): void {
    this.sent.push(orderId);
  }
}

// the snippet

// Two applications share nothing.
const options = { logger: ['error' as const] };
const one = await NestFactory.createApplicationContext(AppModule, options);
const two = await NestFactory.createApplicationContext(AppModule, options);
await one.get(EventManager).sendEvent(OrderPlaced, { orderId: '1' });
await one.close();
await two.close();
assert.deepEqual([one.get(SendReceipt).sent, two.get(SendReceipt).sent], [['1'], []]);
