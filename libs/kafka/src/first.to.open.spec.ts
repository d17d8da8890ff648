import { beforeEach, describe, expect, it } from 'vitest';
import { firstToOpen } from './first.to.open.js';
import { HandClock, turn } from './kafka.fixture.js';

interface Begun {
  readonly name: string;
  open(): void;
  fail(): void;
  cancelled: boolean;
}

describe('the first to open', () => {
  let clock: HandClock;
  let begun: Begun[];
  let first: Promise<string>;
  let settled: string | undefined;
  beforeEach(() => {
    clock = new HandClock();
    begun = [];
    settled = undefined;
    const candidates = ['a', 'b', 'c'].map((name) => () => {
      let one: Begun | undefined;
      const opened = new Promise<string>((resolve, reject) => {
        const fail = (): void => reject(new Error(`${name} failed`));
        one = { name, open: () => resolve(name), fail, cancelled: false };
        begun.push(one);
      });
      return { opened, cancel: () => void (one && (one.cancelled = true)) };
    });
    first = firstToOpen(candidates, 1_000, clock);
    first.then(
      (name) => (settled = name),
      (error: Error) => (settled = error.message),
    );
  });

  const names = (): string => begun.map(({ name }) => name).join('');
  const at = (index: number): Begun => begun[index] as Begun;

  it('is the only one that is tried, if it opens', async () => {
    at(0).open();
    await clock.advance(5_000);
    expect([settled, names()]).toEqual(['a', 'a']);
    expect(at(0).cancelled).toBe(false);
  });

  it('tries the next at once when one fails, and rejects with the last failure', async () => {
    at(0).fail();
    await turn();
    expect(names()).toBe('ab');
    at(1).fail();
    await turn();
    at(2).fail();
    await turn();
    expect(settled).toBe('c failed');
  });

  it('tries the next beside one that hesitates, and cancels whoever comes too late', async () => {
    await clock.advance(1_000);
    expect(names()).toBe('ab');
    at(1).open();
    await clock.advance(5_000);
    expect([settled, names()]).toEqual(['b', 'ab']);
    expect(begun.map(({ cancelled }) => cancelled)).toEqual([true, false]);
    at(0).fail();
    await turn();
    expect(names()).toBe('ab');
  });

  it('waits for those that hesitate when nobody is left to be tried', async () => {
    await clock.advance(5_000);
    expect(names()).toBe('abc');
    at(2).fail();
    at(1).fail();
    await clock.advance(60_000);
    expect(settled).toBeUndefined();
    at(0).open();
    await turn();
    expect(settled).toBe('a');
  });
});
