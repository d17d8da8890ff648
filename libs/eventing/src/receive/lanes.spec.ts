import { describe, expect, it } from 'vitest';
import { seeded } from '../kernel.fixture.js';
import { type LaneJob, Lanes, Places } from './lanes.js';

class Job implements LaneJob {
  nextInLane: LaneJob | undefined = undefined;
  constructor(
    readonly lane: string | undefined,
    readonly number: number,
  ) {}
}

/** Lanes whose jobs a test ends by hand. */
function manual(concurrency: number) {
  const started: Job[] = [];
  const places = new Places(concurrency);
  const lanes = new Lanes<Job>(places, (job) => void started.push(job));
  const add = (lane: string | undefined): Job => {
    const job = new Job(lane, started.length);
    lanes.add(job);
    return job;
  };
  return { lanes, places, started, add };
}

describe('Lanes', () => {
  it('runs a job at once where there is room', () => {
    const { places, started, add } = manual(2);
    const job = add('a');
    expect(started).toEqual([job]);
    expect(places.taken).toBe(1);
  });

  it('runs different lanes, and jobs of none, side by side up to the concurrency', () => {
    const { lanes, places, started, add } = manual(3);
    const [a, b, none, other] = [add('a'), add('b'), add(undefined), add(undefined)];
    expect(started).toEqual([a, b, none]);
    lanes.finish(b, true);
    expect(started).toEqual([a, b, none, other]);
    expect(places.taken).toBe(3);
  });

  it('runs one lane one by one, in the order added', () => {
    const { lanes, started, add } = manual(8);
    const jobs = [add('a'), add('a'), add('a')];
    expect(started).toEqual(jobs.slice(0, 1));
    lanes.finish(jobs[0] as Job, true);
    expect(started).toEqual(jobs.slice(0, 2));
    lanes.finish(jobs[1] as Job, true);
    expect(started).toEqual(jobs);
  });

  it('does not let a busy lane hold up others', () => {
    const { started, add } = manual(2);
    add('a');
    for (let index = 0; index < 5; index++) add('a');
    const b = add('b');
    expect(started.at(-1)).toBe(b);
  });

  it('keeps the lane of a job that yields, and gives its place to another', () => {
    const { lanes, started, add } = manual(1);
    const [held, behind, other] = [add('a'), add('a'), add('b')];
    lanes.yield();
    expect(started).toEqual([held, other]);
    lanes.finish(other, true);
    expect(started).not.toContain(behind);
    lanes.again(held);
    expect(started).toEqual([held, other, held]);
    lanes.finish(held, true);
    expect(started.at(-1)).toBe(behind);
  });

  it('queues a job that comes back behind those that are ready', () => {
    const { lanes, started, add } = manual(1);
    const [held, first, second] = [add('a'), add('b'), add('c')];
    lanes.yield();
    lanes.again(held);
    lanes.finish(first, true);
    lanes.finish(second, true);
    expect(started).toEqual([held, first, second, held]);
  });

  it('lets a lane go on when the job that held it is given up while it has no place', () => {
    const { lanes, places, started, add } = manual(4);
    const [held, behind] = [add('a'), add('a')];
    lanes.yield();
    lanes.finish(held, false);
    expect(started).toEqual([held, behind]);
    expect(places.taken).toBe(1);
  });

  it('starts a lane anew when it has run dry', () => {
    const { lanes, started, add } = manual(1);
    lanes.finish(add('a'), true);
    const later = add('a');
    expect(started.at(-1)).toBe(later);
  });

  it('does not grow the stack when jobs end at once', () => {
    let ran = 0;
    const lanes = new Lanes<Job>(new Places(1), (job) => {
      if (++ran < 100_000) lanes.add(new Job('a', ran));
      lanes.finish(job, true);
    });
    lanes.add(new Job('a', 0));
    expect(ran).toBe(100_000);
  });

  it.each(Array.from({ length: 20 }, (_, index) => index + 1))(
    'never overlaps a lane, keeps its order, respects and reaches the concurrency, and leaves nothing behind (seed %i)',
    (seed) => {
      const random = seeded(seed);
      const pick = (below: number): number => Math.floor(random() * below);
      const concurrency = 1 + pick(8);
      const keys = [undefined, ...Array.from({ length: 1 + pick(12) }, (_, index) => `key${index}`)];
      const executing = new Set<Job>();
      const yielded = new Set<Job>();
      /** Who holds a lane: from its first turn to its end. */
      const holders = new Map<string, Job>();
      const ended = new Map<string | undefined, number[]>();
      let most = 0;

      const places = new Places(concurrency);
      const lanes = new Lanes<Job>(places, (job) => {
        const holder = job.lane === undefined ? job : (holders.get(job.lane) ?? job);
        expect(holder).toBe(job);
        if (job.lane !== undefined) holders.set(job.lane, job);
        executing.add(job);
        most = Math.max(most, executing.size);
        expect(executing.size).toBeLessThanOrEqual(concurrency);
      });
      const some = (jobs: Set<Job>): Job | undefined => [...jobs][pick(jobs.size)];
      const end = (job: Job, hadPlace: boolean): void => {
        executing.delete(job);
        yielded.delete(job);
        if (job.lane !== undefined) holders.delete(job.lane);
        ended.set(job.lane, [...(ended.get(job.lane) ?? []), job.number]);
        lanes.finish(job, hadPlace);
      };
      const added = new Map<string | undefined, number[]>();
      let toAdd = 400;
      let number = 0;
      while (toAdd > 0 || executing.size > 0 || yielded.size > 0) {
        const action = random();
        const running = some(executing);
        const waiting = some(yielded);
        if (toAdd > 0 && (action < 0.45 || (running === undefined && waiting === undefined))) {
          toAdd--;
          const lane = keys[pick(keys.length)];
          const job = new Job(lane, number++);
          added.set(lane, [...(added.get(lane) ?? []), job.number]);
          lanes.add(job);
        } else if (running !== undefined && action < 0.75) end(running, true);
        else if (running !== undefined && action < 0.85) {
          executing.delete(running);
          yielded.add(running);
          lanes.yield();
        } else if (waiting !== undefined && action < 0.95) {
          yielded.delete(waiting);
          lanes.again(waiting);
        } else if (waiting !== undefined) end(waiting, false);
        expect(places.taken).toBe(executing.size);
      }
      // Lanes end in the order added; jobs without one have no order.
      for (const [lane, numbers] of added)
        expect(lane === undefined ? [...(ended.get(lane) ?? [])].sort((a, b) => a - b) : ended.get(lane)).toEqual(
          numbers,
        );
      expect(most).toBe(concurrency);
    },
  );
});
