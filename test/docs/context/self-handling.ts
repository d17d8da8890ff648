import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Event, type EventHandlingContext, EventingModule, EventManager, memory, MemoryBroker } from 'nestjs-eventing';

const sent: unknown[] = [];

@Injectable()
class Mailer {
  async send(text: string, user: string | undefined): Promise<void> {
    sent.push(text, user);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({ imports: [EventingModule.forRoot({ provider: memory({ broker }) }), ReceiptsModule], providers: [Mailer] })
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await app.get(EventManager).sendEvent(ReceiptDue, { orderId: '7' }, { headers: { user: 'ada' } });
await broker.idle();
await app.close();
assert.deepEqual(sent, ['receipt for 7', 'ada']);
