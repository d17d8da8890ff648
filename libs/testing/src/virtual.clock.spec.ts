import { expect, it } from 'vitest';
import { VirtualClock } from './virtual.clock.js';

it('stands still until it is moved, and fires in order of time, then of creation', async () => {
  const clock = new VirtualClock(1000);
  const fired: string[] = [];
  const note = (name: string) => () => void fired.push(`${name}@${clock.now()}`);
  clock.setTimeout(note('late'), 50);
  clock.setTimeout(note('first'), 20);
  clock.setTimeout(note('second'), 20);
  clock.setTimeout(note('now'), -5);
  expect(clock.pending).toBe(4);
  await clock.advance(49);
  expect(fired).toEqual(['now@1000', 'first@1020', 'second@1020']);
  await clock.advance(1);
  expect(fired.at(-1)).toBe('late@1050');
  expect([clock.now(), clock.pending]).toEqual([1050, 0]);
});

it('lets promises and immediates run before, between and after timers, and fires timers that they make', async () => {
  const clock = new VirtualClock(0);
  const fired: number[] = [];
  const loop = async (): Promise<void> => {
    for (let round = 0; round < 3; round++) {
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 10));
      await new Promise<void>((resolve) => setImmediate(resolve));
      fired.push(clock.now());
    }
  };
  void Promise.resolve().then(loop);
  await clock.advance(30);
  expect(fired).toEqual([10, 20, 30]);
});

it('does not fire what was cancelled, and cancels twice without harm', async () => {
  const clock = new VirtualClock();
  let fired = 0;
  const timer = clock.setTimeout(() => fired++, 1);
  clock.setTimeout(() => fired++, 2);
  timer.cancel();
  timer.cancel();
  await clock.advance(5);
  timer.cancel();
  expect(fired).toBe(1);
});

it('makes advances that overlap follow each other', async () => {
  const clock = new VirtualClock(0);
  await Promise.all([clock.advance(10), clock.advance(20)]);
  expect(clock.now()).toBe(30);
});

it('rejects with what a timer throws, and works on', async () => {
  const clock = new VirtualClock(0);
  clock.setTimeout(() => {
    throw new Error('broken');
  }, 1);
  await expect(clock.advance(5)).rejects.toThrow('broken');
  await clock.advance(5);
  expect(clock.now()).toBe(6);
});

it('runs all timers, but not for ever', async () => {
  const clock = new VirtualClock(0);
  clock.setTimeout(() => undefined, 1e12);
  await clock.runAll();
  expect([clock.now(), clock.pending]).toEqual([1e12, 0]);
  const again = (): void => void clock.setTimeout(again, 1);
  again();
  await expect(clock.runAll(100)).rejects.toThrow(/100 timers have fired and 1 are left/);
});
