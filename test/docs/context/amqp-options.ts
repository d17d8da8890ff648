import assert from 'node:assert/strict';

// Options are checked at once, nothing is connected to.
process.env.ARTEMIS_PASSWORD = 'a password';

// the snippet

assert.equal(typeof eventing.module, 'function');
assert.throws(() => amqp({ host: '' }), { code: 'EVT_INVALID_OPTIONS' });
