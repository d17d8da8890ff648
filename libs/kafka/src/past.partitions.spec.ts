import type { Delivery } from 'nestjs-eventing';
import { beforeEach, describe, expect, it } from 'vitest';
import { DriverError, type FetchedRecords, type IncomingRecord } from './kafka.driver.js';
import { HandClock, contextOf, subscriptionOf, turn, type TestContext } from './kafka.fixture.js';
import { PastPartitions } from './past.partitions.js';
import { retryTargets } from './retry.topic.js';
import type { SubscriptionParts } from './tracked.partitions.js';

const SOURCE = { topic: 'orders', partition: 0 };

function fetched(offsets: readonly number[], nextOffset: number, endOffset: number): FetchedRecords {
  const records = offsets.map((offset): IncomingRecord => {
    return { offset, time: 5, key: null, value: Buffer.from('v'), headers: {} };
  });
  return { records, nextOffset, endOffset };
}

describe('the partitions of a replay', () => {
  let clock: HandClock;
  let context: TestContext;
  let past: PastPartitions;
  let delivered: Delivery[];
  let reading: Set<string>;
  /** How, once it has. */
  let ended: string | undefined;
  /** What the broker says of the topic now. */
  let latest: number | Error;
  let earliest: number;
  let exists: boolean;
  beforeEach(() => {
    clock = new HandClock();
    context = contextOf('shop', { clock });
    delivered = [];
    reading = new Set();
    ended = undefined;
    latest = 100;
    earliest = 0;
    exists = true;
    const reader = {
      add: ({ topic, partition }: typeof SOURCE) => void reading.add(`${topic}/${partition}`),
      remove: ({ topic, partition }: typeof SOURCE) => void reading.delete(`${topic}/${partition}`),
      pause: () => undefined,
      resume: () => undefined,
      close: () => undefined,
    };
    const offsets = (_topic: string, _partitions: readonly number[], at: string): Promise<Map<number, number>> => {
      const found = at === 'earliest' ? earliest : latest;
      return typeof found === 'number' ? Promise.resolve(new Map([[0, found]])) : Promise.reject(found);
    };
    const layout = (): Promise<Map<string, unknown>> => Promise.resolve(new Map(exists ? [['orders', {}]] : []));
    const driver = { reader: () => reader, offsets, layout };
    const parts = { driver, context, retry: { topic: 'shop.retry' } } as unknown as SubscriptionParts;
    const subscriber = { deliver: (one: Delivery) => void delivered.push(one), revoked: () => Promise.resolve() };
    const targets = retryTargets('Rebuild', 'one');
    past = new PastPartitions(
      parts,
      subscriptionOf('Rebuild', 'orders', { window: 50 }),
      subscriber,
      targets,
      undefined,
    );
    void past.ended.then((how) => (ended = how ?? 'complete'));
  });
  const settleAll = async (): Promise<void> => {
    for (const delivery of delivered) void delivery.settle({ kind: 'accept' });
    await turn();
  };
  const errors = (): string[] => context.lines.filter((line) => line.startsWith('error'));

  it('come to their end when all before it is settled, and leave out what is behind it', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    past.records(SOURCE, fetched([0, 4, 9, 10, 11], 12, 12));
    expect(delivered.map(({ position }) => position)).toEqual(['0@0', '0@4', '0@9']);
    expect(reading.size).toBe(0);
    await turn();
    expect(ended).toBeUndefined();
    await settleAll();
    expect(ended).toBe('complete');
  });

  it('are at their end at once where there is nothing', async () => {
    past.addUntil(SOURCE, 10, 10);
    past.allAdded();
    await turn();
    expect(ended).toBe('complete');
    expect(reading.size).toBe(0);
  });

  it('need no record at their end, but only to have read up to it', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    past.records(SOURCE, fetched([0], 9, 10));
    await settleAll();
    expect(ended).toBeUndefined();
    past.records(SOURCE, fetched([], 10, 10));
    await turn();
    expect(ended).toBe('complete');
  });

  it('do not wait for what was compacted away, once nothing is left to read', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    past.idle(SOURCE, fetched([], 0, 10), false);
    await turn();
    expect(ended).toBeUndefined();
    past.idle(SOURCE, fetched([], 0, 10), true);
    await turn();
    expect(ended).toBe('complete');
    expect(errors()).toEqual([]);
  });

  it('end early and say so where the log is another one, which a new leader that lags is not', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    past.records(SOURCE, fetched([0, 1], 2, 10));
    past.idle(SOURCE, fetched([], 2, 5), true);
    await turn();
    latest = new DriverError('LEADER_NOT_AVAILABLE', 'not yet');
    past.idle(SOURCE, fetched([], 2, 5), true);
    await turn();
    expect(errors()).toEqual([]);
    latest = 5;
    past.idle(SOURCE, fetched([], 2, 5), true);
    await turn();
    expect(errors()).toEqual([
      expect.stringMatching(/^error EVT_POSITION: Rebuild ends at 2 of orders\/0 and not at 10/),
    ]);
    expect(ended).toBeUndefined();
    await settleAll();
    expect(ended).toBe('incomplete');
  });

  it('go on behind what retention took, end where it took all, and say that something is gone', async () => {
    past.addUntil(SOURCE, 2, 10);
    past.allAdded();
    earliest = 5;
    expect(await past.outOfRange(SOURCE, 2)).toBe(5);
    expect(context.lines).toContainEqual(expect.stringContaining('leaves out 2 to 4 of orders/0'));
    await turn();
    expect(ended).toBeUndefined();
    earliest = 30;
    await past.outOfRange(SOURCE, 5);
    expect(context.lines).toContainEqual(expect.stringContaining('leaves out 5 to 9 of orders/0'));
    await turn();
    expect(ended).toBe('incomplete');
  });

  it('wait for a topic that cannot be seen for a moment, and end where it stays away, whatever failed first', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    exists = false;
    past.failed(SOURCE, new DriverError('UNKNOWN_TOPIC_OR_PARTITION', 'missing'));
    await clock.advance(2_000);
    exists = true;
    await clock.advance(10_000);
    past.idle(SOURCE, fetched([], 0, 10), false);
    await clock.advance(1_000);
    expect(ended).toBeUndefined();
    past.failed(SOURCE, new DriverError('NOT_LEADER_FOR_PARTITION', 'it moved'));
    await clock.advance(5_000);
    exists = false;
    await clock.advance(10_000);
    expect(ended).toBe('incomplete');
    expect(errors()).toEqual([expect.stringContaining('the topic was deleted')]);
  });

  it('end when they are closed, and say that it was before all was settled', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    past.close();
    await turn();
    expect(ended).toBe('incomplete');
  });

  it('are complete where all was settled before they are closed', async () => {
    past.addUntil(SOURCE, 0, 10);
    past.allAdded();
    past.records(SOURCE, fetched([9], 10, 10));
    await settleAll();
    past.close();
    await turn();
    expect(ended).toBe('complete');
  });
});
