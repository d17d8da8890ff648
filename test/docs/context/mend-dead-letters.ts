import assert from 'node:assert/strict';
import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import {
  DeadLetters,
  type Envelope,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
  RejectEvent,
} from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}
class PrinterMissing extends Error {
  override readonly name = 'PrinterMissing';
}

let closed = true;
const sent: string[] = [];

@EventListener(OrderPlaced, { retry: { attempts: 2, delay: 1 } })
class SendReceipt implements EventListener<OrderPlaced> {
  on({ orderId }: OrderPlaced, { headers }: Envelope<OrderPlaced>): void {
    if (orderId === 'hopeless' || orderId === 'wrong') throw new RejectEvent('hopeless');
    if (closed) throw new PrinterMissing('closed');
    sent.push(headers.get('mended') ?? orderId);
  }
}

// the snippet

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ provider: memory({ broker }) })],
  providers: [SendReceipt, Mending],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: false });
await app.init();
// One key after the other, so that it is known which letter is the older one.
const orders = Array.from({ length: 50 }, (_, index) => `order-${index}`);
for (const orderId of ['hopeless', 'wrong', ...orders]) {
  await app.get(EventManager).sendEvent(OrderPlaced, { orderId });
  await broker.idle();
}

const mending = app.get(Mending);
const { groups, letters } = await mending.overview();
assert.equal(letters, 52);
assert.deepEqual(
  groups.map(({ reason, error, count }) => [reason, error, count]),
  [
    ['failed', 'PrinterMissing', 50],
    ['rejected', 'EVT_REJECTED', 2],
  ],
);
const first = await mending.look();
assert.equal(first.letters.length, 50);
const second = await mending.look(first.cursor);
assert.deepEqual(
  second.letters.map(({ message }) => message.key),
  ['order-48', 'order-49'],
);
const wrong = first.letters[1]?.id ?? '';
assert.deepEqual((await mending.open(wrong)).body, { kind: 'value', value: { orderId: 'wrong' } });

closed = false;
assert.deepEqual(await mending.retry(), { redriven: 50, failed: 0, failures: [], more: false });
await mending.mend(wrong, 'right');
await broker.idle();
assert.deepEqual(sent.toSorted(), [...orders, 'by hand'].toSorted());
assert.equal(await mending.forget(), 1);
assert.deepEqual((await mending.look()).letters, []);
await app.close();
