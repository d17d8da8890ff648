import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DeadLetters, Event, EventingModule, EventListener, EventManager, memory, MemoryBroker } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}
class PrinterBusy extends Error {}
class OutOfPaper extends PrinterBusy {}
class NoSuchPrinter extends Error {}

const calls: string[] = [];

@Injectable()
class Printer {
  print(orderId: string): Promise<void> {
    calls.push(orderId);
    if (orderId === 'wrong') throw new NoSuchPrinter();
    if (calls.filter((id) => id === orderId).length < 3) throw new OutOfPaper();
    return Promise.resolve();
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [Printer, PrintReceipt],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
await app.get(EventManager).sendEvent(OrderPlaced, { orderId: 'wrong' });
await app.get(EventManager).sendEvent(OrderPlaced, { orderId: 'busy' });
await broker.idle();
assert.deepEqual(calls.toSorted(), ['busy', 'busy', 'busy', 'wrong']);
const { letters } = await app.get(DeadLetters).list();
assert.deepEqual(
  letters.map(({ attempts, message }) => [message.key, attempts]),
  [['wrong', 1]],
);
await app.close();
