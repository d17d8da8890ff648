import assert from 'node:assert/strict';
import { raw } from 'nestjs-eventing';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';

// the snippet

assert.equal(provider.kind, 'rabbitmq');
assert.equal(raw({ event: 'shipped', idHeader: 'message-id' }).name, 'raw:shipped@1');
