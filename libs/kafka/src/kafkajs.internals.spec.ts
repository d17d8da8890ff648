import { createRequire } from 'node:module';
import { expect, it } from 'vitest';

it('builds on the version of kafkajs whose inside it was written for', () => {
  const { version } = createRequire(import.meta.url)('kafkajs/package.json') as { version: string };
  // Another one: read its network/connection.js and protocol/requests again, then change this.
  expect(version).toBe('2.2.4');
});
