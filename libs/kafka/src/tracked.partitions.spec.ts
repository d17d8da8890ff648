import { describe, expect, it } from 'vitest';
import type { IncomingRecord } from './kafka.driver.js';
import { contextOf, subscriptionOf, turn } from './kafka.fixture.js';
import { retryTargets } from './retry.topic.js';
import { NO_NOTES, TrackedPartitions, type SubscriptionParts } from './tracked.partitions.js';

const SOURCE = { topic: 'orders', partition: 0 };

function partitions(earliest: Promise<Map<number, number>>): {
  readonly tracked: TrackedPartitions;
  readonly delivered: string[];
  readonly revoked: string[];
} {
  const nothing = (): void => undefined;
  const reader = { add: nothing, remove: nothing, pause: nothing, resume: nothing, close: nothing };
  const driver = { reader: () => reader, offsets: () => earliest };
  const parts = { driver, context: contextOf('shop'), retry: { topic: 'shop.retry' } } as unknown as SubscriptionParts;
  const delivered: string[] = [];
  const revoked: string[] = [];
  const subscriber = {
    deliver: ({ position }: { readonly position: string }) => void delivered.push(position),
    revoked: (names: readonly string[]) => Promise.resolve(void revoked.push(...names)),
  };
  const targets = retryTargets('Receipt', undefined);
  const tracked = new TrackedPartitions(parts, subscriptionOf('Receipt', 'orders'), subscriber, targets, undefined);
  return { tracked, delivered, revoked };
}

const record = (offset: number): IncomingRecord => ({
  offset,
  time: 5,
  key: null,
  value: Buffer.from('v'),
  headers: {},
});

describe('tracked partitions whose place does not exist', () => {
  it('begin anew at the beginning of a log that was made anew', async () => {
    const { tracked, delivered, revoked } = partitions(Promise.resolve(new Map([[0, 0]])));
    tracked.add(SOURCE, { offset: 100, notes: NO_NOTES });
    expect(await tracked.outOfRange(SOURCE, 100)).toBe(0);
    expect(revoked).toEqual(['orders/0']);
    tracked.records(SOURCE, { records: [record(0)], nextOffset: 1, endOffset: 1 });
    expect(delivered).toEqual(['0@0']);
  });

  it('are left alone where they were lost meanwhile and are ours again, at another place', async () => {
    let answer: (found: Map<number, number>) => void = () => undefined;
    const { tracked, revoked } = partitions(new Promise((resolve) => (answer = resolve)));
    tracked.add(SOURCE, { offset: 100, notes: NO_NOTES });
    const asked = tracked.outOfRange(SOURCE, 100);
    tracked.drop([SOURCE]);
    tracked.add(SOURCE, { offset: 40, notes: NO_NOTES });
    answer(new Map([[0, 0]]));
    await asked;
    await turn();
    expect(revoked).toEqual([]);
    expect(tracked.of([SOURCE])[0]?.offset).toBe(40);
  });
});
