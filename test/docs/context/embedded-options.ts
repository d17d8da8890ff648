import assert from 'node:assert/strict';

// Options are checked at once, nothing is opened.

// the snippet

assert.equal(typeof eventing.module, 'function');
assert.throws(() => embedded({ dataDir: '' }), { code: 'EVT_INVALID_OPTIONS' });
