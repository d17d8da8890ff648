import assert from 'node:assert/strict';

// Options are checked at once, nothing is connected to.
process.env.RABBITMQ_URL = 'amqps://shop:a-password@rabbit.example/shop';

// the snippet

assert.equal(typeof eventing.module, 'function');
assert.throws(() => rabbitmq({ url: 'localhost' }), { code: 'EVT_INVALID_OPTIONS' });
