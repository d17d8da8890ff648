import { describe, expect, it } from 'vitest';
import { seeded } from '../kernel.fixture.js';
import { LONGEST_HOLD, type RetryOptions, RetryPolicy } from './retry.policy.js';

const delays = (options: RetryOptions, random: () => number): (number | undefined)[] => {
  const policy = new RetryPolicy(options);
  return Array.from({ length: policy.attempts }, (_, index) => policy.delayAfter(index + 1, random));
};

describe('RetryPolicy', () => {
  it('tries 5 times, from 200 ms on, each delay twice the one before', () => {
    expect(delays({}, () => 0)).toEqual([200, 400, 800, 1600, undefined]);
  });

  it('waits no longer than maxDelay, jitter apart', () => {
    expect(delays({ attempts: 4, delay: 1000, factor: 10, maxDelay: 5000 }, () => 0)).toEqual([
      1000,
      5000,
      5000,
      undefined,
    ]);
    expect(new RetryPolicy().delayAfter(4, () => 0)).toBeLessThanOrEqual(30_000);
  });

  it('does not retry where there is one attempt', () => {
    expect(delays({ attempts: 1 }, () => 0)).toEqual([undefined]);
  });

  it('has no attempt left after more than all of them', () => {
    expect(new RetryPolicy({ attempts: 3 }).delayAfter(7)).toBeUndefined();
  });

  it('is never early: jitter only adds, at most a fifth', () => {
    const random = seeded(7);
    const options = { attempts: 12, delay: 3.3, factor: 1.7, maxDelay: 600 };
    const exact = (attempt: number): number => Math.min(3.3 * 1.7 ** (attempt - 1), 600);
    for (let round = 0; round < 500; round++)
      for (const [index, delay] of delays(options, round === 0 ? () => 0 : random)
        .slice(0, -1)
        .entries()) {
        expect(delay).toBeGreaterThanOrEqual(exact(index + 1));
        expect(delay).toBeLessThanOrEqual(Math.ceil(exact(index + 1) * 1.2));
      }
  });

  it('spreads what failed together', () => {
    const policy = new RetryPolicy({ delay: 10_000 });
    const random = seeded(3);
    expect(new Set(Array.from({ length: 50 }, () => policy.delayAfter(1, random))).size).toBeGreaterThan(40);
  });

  it('gives a number however often it multiplies', () => {
    expect(new RetryPolicy({ attempts: 5000, delay: 0 }).delayAfter(4000, () => 0)).toBe(0);
    expect(new RetryPolicy({ attempts: 5000, delay: 1 }).delayAfter(4000, () => 0)).toBe(30_000);
  });

  it.each<[RetryOptions, string]>([
    [{ attempts: 0 }, 'retry.attempts cannot be 0'],
    [{ attempts: 1.5 }, 'retry.attempts cannot be 1.5'],
    [{ attempts: Number.POSITIVE_INFINITY }, 'retry.attempts cannot be Infinity'],
    [{ delay: -1 }, 'retry.delay cannot be -1'],
    [{ delay: Number.NaN }, 'retry.delay cannot be NaN'],
    [{ factor: 0.5 }, 'retry.factor cannot be 0.5'],
    [{ maxDelay: -1 }, 'retry.maxDelay cannot be -1'],
    [{ maxDelay: Number.POSITIVE_INFINITY }, 'retry.maxDelay cannot be Infinity'],
  ])('names what is wrong with %j', (options, text) => {
    expect(new RetryPolicy(options).problems).toEqual([text]);
  });

  it('names all that is wrong at once', () => {
    expect(new RetryPolicy({ attempts: 0, delay: -1 }).problems).toHaveLength(2);
    expect(new RetryPolicy().problems).toEqual([]);
  });

  it('lets an event hold its lane for five minutes', () => {
    expect(LONGEST_HOLD).toBe(300_000);
  });
});
