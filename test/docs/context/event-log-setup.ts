import assert from 'node:assert/strict';

// Options are checked at once, nothing is connected to.
process.env.DATABASE_URL = 'postgres://localhost/shop';

// the snippet

assert.equal(typeof AppModule, 'function');
assert.throws(() => new PostgresEventLog({ database, failedRetention: -1 }), { code: 'EVT_INVALID_OPTIONS' });
