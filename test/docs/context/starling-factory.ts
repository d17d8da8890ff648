import assert from 'node:assert/strict';
import { NestFactory } from '@nestjs/core';
import { type EventProvider, EventingModule, EventManager, memory, type ProviderContext } from 'nestjs-eventing';

interface StarlingOptions {
  readonly url: string;
}

const resolveStarlingOptions = (options: StarlingOptions): StarlingOptions => ({ ...options });

/** Memory by another name. */
const StarlingProvider = class {
  constructor(_options: StarlingOptions, context: ProviderContext) {
    return memory().create(context);
  }
} as new (options: StarlingOptions, context: ProviderContext) => EventProvider;

// the snippet

assert.equal(starling({ url: 'starling://localhost' }).kind, 'starling');
const eventing = EventingModule.forRoot({ provider: starling({ url: 'starling://localhost' }) });
const app = await NestFactory.createApplicationContext(eventing, { logger: ['error'] });
assert(app.get(EventManager) instanceof EventManager);
await app.close();
