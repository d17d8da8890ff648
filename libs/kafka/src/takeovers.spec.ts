import { beforeEach, describe, expect, it } from 'vitest';
import { HandClock } from './kafka.fixture.js';
import type { PartitionTracker } from './partition.tracker.js';
import { Takeovers } from './takeovers.js';

describe('partitions that are taken over anew', () => {
  let clock: HandClock;
  let takeovers: Takeovers;
  beforeEach(() => {
    clock = new HandClock();
    takeovers = new Takeovers(clock);
  });
  const tracker = (offset: number, attempt: number): PartitionTracker =>
    ({ attempts: () => (asked: number) => (asked === offset ? attempt : 1) }) as unknown as PartitionTracker;

  it('do not have to wait the first time, and then longer and longer until it is long ago', async () => {
    expect(takeovers.begin('orders/0', tracker(1, 1))).toEqual({ count: 1, pause: 0 });
    const pauses = [2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map((count) => {
      const next = takeovers.begin('orders/0', undefined);
      expect(next.count).toBe(count);
      return next.pause;
    });
    expect(pauses[0]).toBeGreaterThan(0);
    expect(pauses.at(-1)).toBeGreaterThan(2_000);
    expect(takeovers.begin('orders/1', undefined)).toEqual({ count: 1, pause: 0 });
    await clock.advance(61_000, 61_000);
    expect(takeovers.begin('orders/0', undefined)).toEqual({ count: 1, pause: 0 });
  });

  it('do not count what was cut short as an attempt, once, and only where nobody else has tried since', () => {
    const noted = (attempt: number): { attempt: number; done: [] } => ({ attempt, done: [] });
    expect(takeovers.correct('orders/0', 7, noted(3)).attempt).toBe(3);
    takeovers.begin('orders/0', tracker(7, 2));
    expect(takeovers.correct('orders/0', 7, noted(3)).attempt).toBe(2);
    expect(takeovers.correct('orders/0', 7, noted(3)).attempt).toBe(3);
    takeovers.begin('orders/0', tracker(7, 2));
    expect(takeovers.correct('orders/0', 7, noted(4)).attempt).toBe(4);
    takeovers.begin('orders/0', tracker(7, 2));
    takeovers.forget(['orders/0']);
    expect(takeovers.correct('orders/0', 7, noted(3)).attempt, 'another had it').toBe(3);
  });
});
