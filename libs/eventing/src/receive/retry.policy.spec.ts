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

  it('takes a backoff of another kind', () => {
    expect(delays({ backoff: { kind: 'fixed', delay: 1000 } }, () => 0)).toEqual([1000, 1000, 1000, 1000, undefined]);
    expect(delays({ attempts: 3, backoff: [10, 20, 30] }, () => 0)).toEqual([10, 20, undefined]);
  });

  it('has one attempt more than delays that are listed', () => {
    expect(delays({ backoff: [10, 20, 30] }, () => 0)).toEqual([10, 20, 30, undefined]);
  });

  describe('by type of error', () => {
    class NetworkError extends Error {}
    class DnsError extends NetworkError {}
    class Fatal extends Error {}
    const policy = new RetryPolicy({
      attempts: 3,
      on: [
        { type: NetworkError, attempts: 10, backoff: { kind: 'fixed', delay: 5 } },
        { type: Fatal, attempts: 0 },
        { type: 'ECONNRESET', backoff: [7, 8, 9, 10] },
        { type: 'TimeoutError', attempts: 1 },
      ],
    });
    const after = (attempt: number, error: Error): number | undefined => policy.delayAfter(attempt, () => 0, error);

    it('has attempts and delays of its own, also for subclasses', () => {
      expect(policy.problems).toEqual([]);
      expect([after(1, new NetworkError()), after(9, new DnsError()), after(10, new DnsError())]).toEqual([
        5,
        5,
        undefined,
      ]);
      expect(policy.attemptsAt(new DnsError())).toBe(10);
    });

    it('has none where it says so, and the usual ones where nothing is said of it', () => {
      expect(after(1, new Fatal())).toBeUndefined();
      expect([after(1, new TypeError()), after(2, new TypeError()), after(3, new TypeError())]).toEqual([
        200,
        400,
        undefined,
      ]);
    });

    it('knows errors by their code and by their name', () => {
      const reset = Object.assign(new Error('reset'), { code: 'ECONNRESET' });
      expect([after(1, reset), after(4, reset), after(5, reset)]).toEqual([7, 10, undefined]);
      expect(after(1, Object.assign(new Error('late'), { name: 'TimeoutError' }))).toBeUndefined();
    });

    it('goes by the most specific: code, name, class, the class that it extends', () => {
      const specific = new RetryPolicy({
        on: [
          { type: Error, attempts: 2 },
          { type: NetworkError, attempts: 3 },
          { type: DnsError, attempts: 4 },
          { type: 'ENOTFOUND', attempts: 5 },
        ],
      });
      const attempts = (error: Error): number => specific.attemptsAt(error);
      expect([new RangeError(), new NetworkError(), new DnsError()].map(attempts)).toEqual([2, 3, 4]);
      expect(attempts(Object.assign(new DnsError(), { code: 'ENOTFOUND' }))).toBe(5);
    });

    it('knows the most attempts that any may have', () => {
      expect([policy.mostAttempts, new RetryPolicy({ attempts: 7 }).mostAttempts]).toEqual([10, 7]);
    });
  });

  it.each<[unknown, string]>([
    [{ backoff: [] }, 'retry.backoff cannot be an empty list: set attempts: 1 for no retry'],
    [{ backoff: { kind: 'fixed', delay: -1 } }, 'retry.backoff.delay cannot be -1'],
    [{ backoff: [1], delay: 5 }, 'retry.backoff and retry.delay, factor or maxDelay exclude each other'],
    [{ move: 'yes' }, 'retry.move cannot be yes'],
    [{ exhausted: 'explode' }, 'retry.exhausted cannot be explode: there are dead-letter, discard, stop'],
    [{ on: 'Fatal' }, 'retry.on must be a list of { type, attempts, backoff }'],
    [{ on: [undefined] }, 'retry.on[0] must be an object { type, attempts, backoff }'],
    [{ on: [{ type: undefined }] }, 'retry.on[0].type must be a class of errors, or the name or code of one'],
    [{ on: [{ type: TypeError }, { type: TypeError }] }, 'retry.on[1].type is there twice: TypeError'],
    [{ on: [{ type: TypeError, attempts: -1 }] }, 'retry.on[0].attempts cannot be -1'],
    [{ on: [{ type: TypeError, delay: 5 }] }, 'retry.on[0].delay is no option: there are type, attempts, backoff'],
    [{ on: [{ type: TypeError, backoff: [-1] }] }, 'retry.on[0].backoff[0] cannot be -1'],
    [
      { on: Array.from({ length: 101 }, (_, index) => ({ type: `E${index}` })) },
      'retry.on names 101 types: 100 at most',
    ],
  ])('names what is wrong with further options: %j', (options, text) => {
    expect(new RetryPolicy(options as RetryOptions).problems).toEqual([text]);
  });

  it('lets an event hold its lane for five minutes', () => {
    expect(LONGEST_HOLD).toBe(300_000);
  });
});
