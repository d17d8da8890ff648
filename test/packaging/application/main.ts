import 'reflect-metadata';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DeadLetters, EventingError, EventingModule, EventManager, memory, MemoryBroker } from 'nestjs-eventing';
import { SessionPipeline, TenantGuard, Visit } from './enhancers.js';
import { Journal } from './journal.js';
import { Accounting, CloseBooks, Invoices, SendReceipt } from './listeners.js';
import { OrderPlaced, ShopClosing } from './order-placed.event.js';

// An application that uses of Nest what touches the package. `PackedApplication` compiles it as a module and as CommonJS, for
// each major version of Nest, and `packaging.e2e.spec.ts` knows what it prints.

const broker = new MemoryBroker();

@Module({
  imports: [EventingModule.forRoot({ service: 'shop', provider: memory({ broker }) })],
  providers: [Journal, SendReceipt, Accounting, Invoices, CloseBooks, TenantGuard, Visit, SessionPipeline],
})
class AppModule {}

async function main(): Promise<void> {
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
  const events = app.get(EventManager);
  const { lines, closing } = app.get(Journal);

  await events.sendEvent(OrderPlaced, { orderId: 'a', cents: 250 }, { headers: { tenant: 'acme' } });
  await broker.idle();
  await events.sendEvent(OrderPlaced, { orderId: 'b', cents: 100 }, { headers: { tenant: 'rival' } });
  await broker.idle();

  const letters: string[] = [];
  for await (const { listener, reason, error } of app.get(DeadLetters).all())
    letters.push(`${listener}: ${reason}: ${error.message}`);
  const refused = await events.sendEvent(OrderPlaced, { orderId: 'c', cents: -1 }).catch((error: unknown) => error);
  const refusal = refused instanceof EventingError ? refused.code : String(refused);

  await events.sendEvent(ShopClosing, {});
  await app.get(CloseBooks).begun;
  await app.close();
  console.log(JSON.stringify({ lines: lines.sort(), closing, letters: letters.sort(), refusal }));
}

void main();
