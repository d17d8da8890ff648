import assert from 'node:assert/strict';

// Options are checked at once, nothing is connected to.
process.env.RABBITMQ_PASSWORD = 'a password';

// the snippet

assert.equal(typeof eventing.module, 'function');
assert.throws(() => amqp({ vhost: 'shop' }), { code: 'EVT_INVALID_OPTIONS' });
