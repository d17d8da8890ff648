import assert from 'node:assert/strict';

// Options are checked at once, nothing is connected to.
process.env.DATABASE_URL = 'postgres://shop:a-password@db.example/shop';

// the snippet

assert.equal(typeof eventing.module, 'function');
assert.throws(() => postgres({ connectionString: 'db.example' }), { code: 'EVT_INVALID_OPTIONS' });
