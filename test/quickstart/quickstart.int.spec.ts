import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { BuiltQuickstart, type PrintedAccount } from './built.quickstart.js';

const brokers = inject('kafkaBrokers');

describe.skipIf(brokers.length === 0)('npm start -- --provider kafka', () => {
  let quickstart: BuiltQuickstart;
  beforeAll(async () => {
    quickstart = await BuiltQuickstart.build();
  }, 120_000);
  afterAll(() => quickstart?.remove());

  // The second finds topics, groups and positions of the first, and the orders of a shop that is gone.
  it.each(['first', 'second'])('tells the same story, the %s time', { timeout: 90_000 }, async () => {
    const flags = ['--provider', 'kafka', '--brokers', brokers.join(','), '--json'];
    const { code, stdout, stderr } = await quickstart.run(...flags);
    const account = JSON.parse(stdout || '{}') as Partial<PrintedAccount>;
    const notAsTold = account.steps?.filter(({ ok }) => !ok);
    expect([code, notAsTold, account.provider], stderr).toEqual([0, [], 'kafka']);
  });
});
