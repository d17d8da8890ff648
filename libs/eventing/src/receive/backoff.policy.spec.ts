import { describe, expect, it } from 'vitest';
import { seeded } from '../kernel.fixture.js';
import { type BackoffOptions, BackoffPolicy } from './backoff.policy.js';

const delays = (options: BackoffOptions | undefined, count = 5): number[] => {
  const policy = new BackoffPolicy(options);
  return Array.from({ length: count }, (_, index) => policy.delayAfter(index + 1, () => 0));
};

describe('a backoff', () => {
  it.each<[string, BackoffOptions | undefined, number[]]>([
    ['is exponential where nothing is said', undefined, [200, 400, 800, 1600, 3200]],
    ['can be fixed', { kind: 'fixed', delay: 1000 }, [1000, 1000, 1000, 1000, 1000]],
    [
      'can be fixed, also for longer than an exponential one may be',
      { kind: 'fixed', delay: 90_000 },
      [90_000, 90_000],
    ],
    ['is 200 ms where it is fixed and nothing is said', { kind: 'fixed' }, [200, 200]],
    ['has a longest delay', { kind: 'exponential', delay: 10, factor: 10, maxDelay: 500 }, [10, 100, 500, 500]],
    ['can be listed, and the last delay is repeated', [100, 5000, 60_000], [100, 5000, 60_000, 60_000, 60_000]],
    ['can be nothing', [0], [0, 0]],
  ])('%s', (_name, options, expected) => {
    expect(new BackoffPolicy(options).problems).toEqual([]);
    expect(delays(options, expected.length)).toEqual(expected);
  });

  it('is never early: chance adds up to a fifth', () => {
    const random = seeded(11);
    const policy = new BackoffPolicy([1000, 50]);
    for (let round = 0; round < 200; round++) {
      expect(policy.delayAfter(1, random)).toBeGreaterThanOrEqual(1000);
      expect(policy.delayAfter(1, random)).toBeLessThanOrEqual(1200);
      expect(policy.delayAfter(9, random)).toBeLessThanOrEqual(60);
    }
  });

  it('gives the same delay for the same attempt and the same chance', () => {
    const policy = new BackoffPolicy({ kind: 'exponential' });
    expect([policy.delayAfter(3, () => 1), policy.delayAfter(3, () => 1)]).toEqual([960, 960]);
  });

  it('tells how many delays are listed', () => {
    expect(new BackoffPolicy([1, 2, 3]).listed).toBe(3);
    expect(new BackoffPolicy({ kind: 'fixed' }).listed).toBeUndefined();
  });

  it.each<[unknown, string[]]>([
    [[], ['backoff cannot be an empty list: set attempts: 1 for no retry']],
    [[1, -1], ['backoff[1] cannot be -1']],
    [[Number.NaN], ['backoff[0] cannot be NaN']],
    [['soon'], ['backoff[0] cannot be soon']],
    [Array.from({ length: 1001 }, () => 1), ['backoff cannot list 1001 delays: 1000 at most']],
    ['fixed', ['backoff cannot be fixed: give a list of milliseconds, or an object with kind']],
    [null, ['backoff cannot be null: give a list of milliseconds, or an object with kind']],
    [{ delay: 5 }, ['backoff.kind cannot be undefined: there are fixed and exponential']],
    [{ kind: 'linear' }, ['backoff.kind cannot be linear: there are fixed and exponential']],
    [{ kind: 'fixed', delay: -5 }, ['backoff.delay cannot be -5']],
    [{ kind: 'fixed', factor: 2 }, ['backoff.factor is no option of a fixed backoff: there are kind, delay']],
    [
      { kind: 'exponential', factor: 0, maxDelay: Number.POSITIVE_INFINITY },
      ['backoff.factor cannot be 0', 'backoff.maxDelay cannot be Infinity'],
    ],
  ])('names what is wrong with %j', (options, problems) => {
    expect(new BackoffPolicy(options as BackoffOptions).problems).toEqual(problems);
  });
});
