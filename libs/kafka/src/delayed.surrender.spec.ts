import { beforeEach, describe, expect, it } from 'vitest';
import { DelayedSurrender } from './delayed.surrender.js';
import { type TopicPartition, sourceName } from './kafka.driver.js';
import { HandClock } from './kafka.fixture.js';

describe('partitions that are given up after a pause', () => {
  const [one, other]: readonly [TopicPartition, TopicPartition] = [
    { topic: 'orders', partition: 0 },
    { topic: 'orders', partition: 1 },
  ];
  let clock: HandClock;
  let given: string[];
  let surrender: DelayedSurrender;
  beforeEach(() => {
    clock = new HandClock();
    given = [];
    surrender = new DelayedSurrender(clock, (sources) => given.push(...sources.map(sourceName)));
  });

  it('are given up when it is over, or at once where there is none', async () => {
    surrender.after(0, [one]);
    expect(given).toEqual(['orders/0']);
    surrender.after(1_000, [other]);
    expect(given).toEqual(['orders/0']);
    await clock.advance(1_000, 1_000);
    expect(given).toEqual(['orders/0', 'orders/1']);
  });

  it('are kept where they left by another way meanwhile, and the others are not', async () => {
    surrender.after(1_000, [one, other]);
    surrender.forget([one]);
    await clock.advance(2_000, 1_000);
    expect(given).toEqual(['orders/1']);
  });

  it('are given up once, however often that was asked for, and not after the end', async () => {
    surrender.after(1_000, [one]);
    surrender.after(3_000, [one]);
    await clock.advance(2_000, 1_000);
    expect(given).toEqual([]);
    await clock.advance(2_000, 1_000);
    expect(given).toEqual(['orders/0']);
    surrender.after(1_000, [one]);
    surrender.stop();
    await clock.advance(2_000, 1_000);
    expect(given).toEqual(['orders/0']);
  });
});
