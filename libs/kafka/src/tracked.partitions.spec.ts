import { describe, expect, it } from 'vitest';
import type { IncomingRecord } from './kafka.driver.js';
import { HandClock, contextOf, subscriptionOf, turn, type TestContext } from './kafka.fixture.js';
import { retryTargets } from './retry.topic.js';
import { NO_NOTES, TrackedPartitions, type SubscriptionParts } from './tracked.partitions.js';

const SOURCE = { topic: 'orders', partition: 0 };

function partitions(earliest: () => Promise<Map<number, number>>): {
  readonly tracked: TrackedPartitions;
  readonly clock: HandClock;
  readonly context: TestContext;
  readonly delivered: string[];
  readonly revoked: string[];
} {
  const nothing = (): void => undefined;
  const reader = { add: nothing, remove: nothing, pause: nothing, resume: nothing, close: nothing };
  const driver = { reader: () => reader, offsets: earliest };
  const clock = new HandClock();
  const context = contextOf('shop', { clock });
  const parts = {
    driver,
    context,
    retry: { topic: 'shop.retry' },
  } as unknown as SubscriptionParts;
  const delivered: string[] = [];
  const revoked: string[] = [];
  const subscriber = {
    deliver: ({ position }: { readonly position: string }) => void delivered.push(position),
    revoked: (names: readonly string[]) => Promise.resolve(void revoked.push(...names)),
  };
  const targets = retryTargets('Receipt', undefined);
  const tracked = new TrackedPartitions(parts, subscriptionOf('Receipt', 'orders'), subscriber, targets, undefined);
  return { tracked, clock, context, delivered, revoked };
}

const atZero = (): Promise<Map<number, number>> => Promise.resolve(new Map([[0, 0]]));

const record = (offset: number): IncomingRecord => ({
  offset,
  time: 5,
  key: null,
  value: Buffer.from('v'),
  headers: {},
});

/** As often as a reader would, until it is told where to go on. */
async function whenBelieved(tracked: TrackedPartitions, clock: HandClock): Promise<number> {
  for (;;) {
    try {
      return await tracked.outOfRange(SOURCE, 100);
    } catch {
      await clock.advance(1_000);
    }
  }
}

describe('tracked partitions whose place does not exist', () => {
  it('begin anew at the beginning of a log that was made anew', async () => {
    const { tracked, clock, delivered, revoked } = partitions(atZero);
    tracked.add(SOURCE, { offset: 100, notes: NO_NOTES });
    expect(await whenBelieved(tracked, clock)).toBe(0);
    expect(revoked).toEqual(['orders/0']);
    tracked.records(SOURCE, { records: [record(0)], nextOffset: 1, endOffset: 1 });
    expect(delivered).toEqual(['0@0']);
  });

  it('stay where they are while whoever says so may have been the leader, and not know what came after', async () => {
    const { tracked, clock, revoked } = partitions(atZero);
    tracked.add(SOURCE, { offset: 100, notes: NO_NOTES });
    const refused = { type: 'OFFSET_OUT_OF_RANGE' };
    for (let look = 0; look < 9; look++) {
      await expect(tracked.outOfRange(SOURCE, 100)).rejects.toMatchObject(refused);
      await clock.advance(500);
    }
    // The leader that knows it answers; what was said before counts for nothing.
    tracked.idle(SOURCE, { records: [], nextOffset: 100, endOffset: 100 }, true);
    await clock.advance(10_000);
    await expect(tracked.outOfRange(SOURCE, 100)).rejects.toMatchObject(refused);
    // Nobody was asked for a while: that is not saying it again and again.
    await clock.advance(10_000);
    await expect(tracked.outOfRange(SOURCE, 100)).rejects.toMatchObject(refused);
    expect(revoked).toEqual([]);
    expect(tracked.of([SOURCE])[0]?.offset).toBe(100);
  });

  it('go on at once behind what retention took', async () => {
    const { tracked, revoked } = partitions(() => Promise.resolve(new Map([[0, 150]])));
    tracked.add(SOURCE, { offset: 100, notes: NO_NOTES });
    expect(await tracked.outOfRange(SOURCE, 100)).toBe(150);
    expect(revoked).toEqual([]);
  });

  it('are left alone where they were lost meanwhile and are ours again, at another place', async () => {
    let answer: (found: Map<number, number>) => void = () => undefined;
    const { tracked, context, revoked } = partitions(() => new Promise((resolve) => (answer = resolve)));
    tracked.add(SOURCE, { offset: 100, notes: NO_NOTES });
    const asked = tracked.outOfRange(SOURCE, 100);
    tracked.drop([SOURCE]);
    tracked.add(SOURCE, { offset: 40, notes: NO_NOTES });
    answer(new Map([[0, 150]]));
    await asked;
    await turn();
    expect(revoked).toEqual([]);
    expect(context.lines).toEqual([]);
    expect(tracked.of([SOURCE])[0]?.offset).toBe(40);
  });
});
