import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { Account } from '../../apps/quickstart/src/story/account.js';
import { BuiltQuickstart } from './built.quickstart.js';

const brokers = inject('kafkaBrokers');

let quickstart: BuiltQuickstart | undefined;
beforeAll(async () => {
  if (brokers.length > 0) quickstart = await BuiltQuickstart.build();
}, 120_000);
afterAll(() => quickstart?.remove());

it(
  'npm start -- --provider kafka tells the same story, and a second time on the same broker',
  { timeout: 180_000 },
  async ({ skip }) => {
    if (quickstart === undefined) return skip('no Kafka');
    for (const time of ['first', 'second']) {
      const { code, stdout, stderr } = await quickstart.run(
        '--provider',
        'kafka',
        '--brokers',
        brokers.join(','),
        '--json',
      );
      const account = JSON.parse(stdout || '{}') as Partial<Account>;
      const notAsTold = account.steps?.filter(({ ok }) => !ok);
      expect([time, code, notAsTold, account.provider], stderr).toEqual([time, 0, [], 'kafka']);
    }
  },
);
