import { describe, expect, it } from 'vitest';
import { seeded, VirtualClock } from '../kernel.fixture.js';
import { type Batch, type BatchJob, BatchLanes } from './batch.lanes.js';
import type { LaneJob } from './lanes.js';

class Job implements BatchJob {
  nextInLane: LaneJob | undefined = undefined;
  batch: Batch | undefined = undefined;
  constructor(
    readonly lane: string | undefined,
    readonly number: number,
  ) {}
}

/** Batch lanes whose batches, and jobs alone, a test ends by hand. */
function manual(size: number, wait: number, concurrency = 1) {
  const clock = new VirtualClock(0);
  const batches: Job[][] = [];
  const alone: Job[] = [];
  let number = 0;
  const lanes: BatchLanes<Job> = new BatchLanes<Job>({
    size,
    wait,
    concurrency,
    clock,
    turn: (job) => (job.batch === undefined ? void alone.push(job) : job.batch.join(job)),
    run: (jobs) => void batches.push([...jobs]),
  });
  const add = (lane: string | undefined): Job => {
    const job = new Job(lane, number++);
    lanes.add(job);
    return job;
  };
  const finish = (jobs: readonly Job[] | undefined): void => jobs?.forEach((job) => lanes.finish(job, true));
  const numbers = (): number[][] => batches.map((batch) => batch.map((job) => job.number));
  return { clock, lanes, batches, alone, add, finish, numbers };
}

describe('BatchLanes', () => {
  it('runs a batch as soon as it is full', () => {
    const { add, numbers } = manual(3, 1000);
    for (const lane of ['a', 'a', 'b']) add(lane);
    expect(numbers()).toEqual([[0, 1, 2]]);
  });

  it('runs what there is when the first has waited for long enough, and not before', async () => {
    const { clock, add, numbers } = manual(3, 1000);
    add('a');
    await clock.advance(999);
    add('b');
    expect(numbers()).toEqual([]);
    await clock.advance(1);
    expect(numbers()).toEqual([[0, 1]]);
  });

  it('never has a key in two batches: what comes for it waits until its batch is over, and stays in order', () => {
    const { add, finish, batches, numbers } = manual(2, 1000, 4);
    for (const lane of ['a', 'b', 'a', 'a', 'c', 'd']) add(lane);
    expect(numbers()).toEqual([
      [0, 1],
      [4, 5],
    ]);
    finish(batches[0]);
    expect(numbers().at(-1)).toEqual([2, 3]);
  });

  it('runs at most so many batches at one time', () => {
    const { add, finish, batches, numbers } = manual(1, 1000, 2);
    for (const lane of ['a', 'b', 'c']) add(lane);
    expect(numbers()).toEqual([[0], [1]]);
    finish(batches[1]);
    expect(numbers()).toEqual([[0], [1], [2]]);
  });

  it('does not hold up jobs without a key', () => {
    const { add, numbers } = manual(1, 1000, 3);
    for (let count = 0; count < 3; count++) add(undefined);
    expect(numbers()).toEqual([[0], [1], [2]]);
  });

  it('keeps the key of what is held, lets the rest go on, and gives it its turn alone', () => {
    const { lanes, add, finish, batches, alone, numbers } = manual(2, 1000, 1);
    const [held, other] = [add('a'), add('b')];
    add('a');
    add('b');
    expect(lanes.hold(held)).toBe(true);
    finish([other]);
    add('c');
    expect(numbers()).toEqual([
      [0, 1],
      [3, 4],
    ]);
    lanes.again(held);
    expect(alone).toEqual([]);
    finish(batches[1]);
    expect(alone).toEqual([held]);
    finish([held]);
    add('d');
    expect(numbers().at(-1)).toEqual([2, 5]);
  });

  it('has those of one key that are held follow each other', () => {
    const { lanes, add, alone } = manual(2, 1000, 4);
    const [first, second] = [add('a'), add('a')];
    expect(lanes.hold(first)).toBe(true);
    expect(lanes.hold(second)).toBe(false);
    lanes.again(first);
    expect(alone).toEqual([first]);
    lanes.finish(first, true);
    expect(alone).toEqual([first, second]);
  });

  it('runs a failed batch again one by one: a key in order, and no more at one time than it may', () => {
    const { lanes, add, alone, finish, batches } = manual(3, 1000, 1);
    for (const lane of ['a', 'a', 'b']) add(lane);
    for (const job of batches[0] ?? []) lanes.alone(job);
    expect(alone.map(({ number }) => number)).toEqual([0]);
    finish(alone.slice(0, 1));
    expect(alone.map(({ number }) => number)).toEqual([0, 2]);
    finish(alone.slice(1, 2));
    expect(alone.map(({ number }) => number)).toEqual([0, 2, 1]);
  });

  it.each(Array.from({ length: 20 }, (_, seed) => seed))(
    'loses nothing, keeps keys in order and its bounds, whatever happens (seed %i)',
    async (seed) => {
      const random = seeded(seed);
      const some = <T>(items: readonly T[]): T => items[Math.floor(random() * items.length)] as T;
      const [size, concurrency] = [1 + Math.floor(random() * 5), 1 + Math.floor(random() * 3)];
      const clock = new VirtualClock(0);
      /** What executes: batches, and jobs alone. */
      const running: Job[][] = [];
      const held: Job[] = [];
      const done: Job[] = [];
      const lanes: BatchLanes<Job> = new BatchLanes<Job>({
        size,
        wait: 50,
        concurrency,
        clock,
        turn: (job) => {
          if (job.batch === undefined) running.push([job]);
          // Some are not what the listener wants, and go before the batch begins.
          else if (random() < 0.1) end(job);
          else job.batch.join(job);
        },
        run: (jobs) => void running.push([...jobs]),
      });
      const end = (job: Job): void => {
        done.push(job);
        lanes.finish(job, true);
      };
      const check = (): void => {
        expect(running.length).toBeLessThanOrEqual(concurrency);
        const open = running.flatMap((batch) => [...new Set(batch.map(({ lane }) => lane))]);
        const keys = open.filter((lane) => lane !== undefined);
        expect(new Set(keys).size).toBe(keys.length);
        for (const batch of running) expect(batch.length).toBeLessThanOrEqual(size);
      };
      let number = 0;
      while (number < 300 || done.length < number) {
        const step = random();
        if (step < 0.4 && number < 300) lanes.add(new Job(some(['a', 'b', 'c', 'd', undefined]), number++));
        else if (step < 0.5) await clock.advance(50);
        else if (step < 0.6 && held.length > 0) {
          const job = held.splice(Math.floor(random() * held.length), 1)[0] as Job;
          lanes.again(job);
        } else if (running.length > 0) {
          const [batch = []] = running.splice(Math.floor(random() * running.length), 1);
          const whole = random() < 0.2 && batch.length > 1;
          for (const job of batch) {
            if (whole) lanes.alone(job);
            else if (random() < 0.2) {
              if (lanes.hold(job)) held.push(job);
            } else end(job);
          }
        }
        check();
      }
      expect(new Set(done).size).toBe(300);
      for (const lane of ['a', 'b', 'c', 'd']) {
        const numbers = done.filter((job) => job.lane === lane).map((job) => job.number);
        // What failed alone in a batch is passed by those behind it in the same batch, and by nobody else.
        for (const [index, later] of numbers.entries()) {
          const passed = numbers.slice(index + 1).filter((other) => other < later);
          expect(passed.length).toBeLessThan(size);
        }
      }
    },
  );
});
