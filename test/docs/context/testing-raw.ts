import assert from 'node:assert/strict';
import { Test } from '@nestjs/testing';
import { EventManager } from 'nestjs-eventing';
import { testEventing } from 'nestjs-eventing/testing';
import { AppModule, Mailer, OrderPlaced, SendReceipt } from './shop.js';

const eventing = testEventing();
const module = await eventing
  .override(Test.createTestingModule({ imports: [AppModule] }))
  .setLogger({ log() {}, warn() {}, error() {} })
  .compile();
await module.init();
const events = module.get(EventManager);
const mailer = module.get(Mailer);

// the snippet

assert(events instanceof EventManager && mailer.mails.length === 0 && typeof OrderPlaced === 'function');
await module.close();
