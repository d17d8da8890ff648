import { beforeEach, describe, expect, it } from 'vitest';
import { DriverError, FencedError } from './kafka.driver.js';
import { HandClock, turn } from './kafka.fixture.js';
import { Insistence } from './kafkajs.insistence.js';

describe('a request of a transaction that fails', () => {
  let clock: HandClock;
  let insistence: Insistence;
  let tries: number;
  let told: string[];
  let moves: number;
  beforeEach(() => {
    clock = new HandClock();
    insistence = new Insistence({ transactionalId: 'shop.A:orders-0', clock, patience: 30_000 });
    tries = moves = 0;
    told = [];
  });
  /** Each try takes as long as the clock is told. */
  const run = (fail: () => Error | undefined, takes = 0): Promise<string> => {
    const attempt = async (): Promise<string> => {
      tries++;
      await clock.advance(takes, 1_000);
      const error = fail();
      if (error !== undefined) throw error;
      return 'done';
    };
    return insistence.on(
      attempt,
      (error) => told.push(error.type),
      () => moves++,
    );
  };
  const failing = (type: string, times = Infinity): (() => Error | undefined) => {
    return () => (tries > times ? undefined : new DriverError(type, 'no'));
  };

  it('is repeated while that may help', async () => {
    for (const type of ['NOT_ENOUGH_REPLICAS', 'ECONNRESET', 'CONCURRENT_TRANSACTIONS', 'UNKNOWN']) {
      tries = 0;
      expect(await run(failing(type, 3))).toBe('done');
      expect(tries).toBe(4);
    }
    // Nobody else answers where the broker only asks for patience.
    expect(moves).toBe(9);
    expect(told).toEqual([]);
  });

  it('ends with the refusal where it does not help', async () => {
    await expect(run(failing('MESSAGE_TOO_LARGE'))).rejects.toMatchObject({ type: 'MESSAGE_TOO_LARGE' });
    await expect(run(failing('PRODUCER_FENCED'))).rejects.toBeInstanceOf(FencedError);
    await expect(run(failing('CODE_120'))).rejects.toBeInstanceOf(FencedError);
    expect(tries).toBe(3);
  });

  it('is told of once when it has failed for some seconds, and given up after the patience', async () => {
    await expect(run(failing('NOT_ENOUGH_REPLICAS'), 10_000)).rejects.toMatchObject({ type: 'NOT_ENOUGH_REPLICAS' });
    expect(told).toEqual(['NOT_ENOUGH_REPLICAS']);
    expect(tries).toBe(3);
  });

  it('ends when it is closed, in the middle of a pause too', async () => {
    const running = run(failing('NOT_ENOUGH_REPLICAS'));
    await turn();
    insistence.close();
    await expect(running).rejects.toMatchObject({ type: 'CONNECTION_CLOSED' });
  });
});
