import assert from 'node:assert/strict';
import { Test } from '@nestjs/testing';
import { EventManager } from 'nestjs-eventing';
import { DelayAtRandom, DuplicateAtRandom, FailAtRandom, testEventing } from 'nestjs-eventing/testing';
import { AppModule, Mailer, OrderPlaced, SendReceipt } from './shop.js';

const silent = { log() {}, warn() {}, error() {} };

// the snippet

assert(eventing.published(OrderPlaced).length > 100);
assert.equal(new Set(module.get(Mailer).mails).size, 100);
assert(eventing.handled(SendReceipt).length > 100);
await module.close();
