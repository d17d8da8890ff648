import type { ModuleMetadata, Provider } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { Event, EventingModule, type EventingOptions, EventManager } from 'nestjs-eventing';
import { onTestFinished } from 'vitest';
import type { TestEventing } from './test.eventing.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
export class OrderPlaced {
  orderId!: string;
}

@Event({ name: 'receipts.sent', channel: 'receipts' })
export class ReceiptSent {
  orderId!: string;
}

const silent = (): void => undefined;
/** What fails on purpose is said in the log; what fails in earnest fails the test. */
const SILENT = { log: silent, warn: silent, error: silent, debug: silent };

/** An application on a kit, started. Closed when the test ends. */
export async function start(
  eventing: TestEventing,
  providers: Provider[],
  options: EventingOptions = { service: 'shop' },
): Promise<{ readonly module: TestingModule; readonly events: EventManager }> {
  return startModule(eventing, { imports: [EventingModule.forRoot(options)], providers });
}

export async function startModule(
  eventing: TestEventing,
  metadata: ModuleMetadata,
): Promise<{ readonly module: TestingModule; readonly events: EventManager }> {
  const module = await eventing.override(Test.createTestingModule(metadata).setLogger(SILENT)).compile();
  onTestFinished(() => module.close());
  await module.init();
  return { module, events: module.get(EventManager) };
}

/** What a promise rejects with. */
export async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => new Error('it did not fail'),
    (error: unknown) => error as Error,
  );
}
