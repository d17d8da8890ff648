import { describe, expect, it } from 'vitest';
import { seeded, VirtualClock } from '../kernel.fixture.js';
import { TimeoutWatch } from './timeout.watch.js';

interface Job {
  deadline: number;
}

function watching() {
  const clock = new VirtualClock(0);
  const jobs = new Set<Job>();
  const late: { job: Job; at: number }[] = [];
  const watch = new TimeoutWatch(clock, jobs, (job: Job) => {
    late.push({ job, at: clock.now() });
    job.deadline = 0;
  });
  const start = (deadline: number): Job => {
    const job = { deadline };
    jobs.add(job);
    watch.expect(deadline);
    return job;
  };
  return { clock, jobs, late, watch, start };
}

describe('TimeoutWatch', () => {
  it('calls each job whose deadline has come, once, not before', async () => {
    const { clock, late, start } = watching();
    const [second, first] = [start(200), start(100)];
    await clock.advance(99);
    expect(late).toEqual([]);
    await clock.advance(1);
    expect(late).toEqual([{ job: first, at: 100 }]);
    await clock.advance(1000);
    expect(late.map(({ job, at }) => [job === second, at])).toEqual([
      [false, 100],
      [true, 200],
    ]);
  });

  it('passes over a job that is done', async () => {
    const { clock, jobs, late, start } = watching();
    const gone = start(100);
    const idle = start(100);
    const other = start(150);
    jobs.delete(gone);
    idle.deadline = 0;
    await clock.advance(1000);
    expect(late).toEqual([{ job: other, at: 150 }]);
  });

  it('calls a job again whose deadline was moved on', async () => {
    const clock = new VirtualClock(0);
    const job = { deadline: 100 };
    const at: number[] = [];
    const watch = new TimeoutWatch(clock, [job], (late: Job) => {
      at.push(clock.now());
      late.deadline = at.length < 3 ? late.deadline + 50 : 0;
    });
    watch.expect(100);
    await clock.advance(1000);
    expect(at).toEqual([100, 150, 200]);
  });

  it('has one timer for many jobs, and none where nothing is left', async () => {
    const { clock, jobs, start } = watching();
    for (let deadline = 1000; deadline > 0; deadline--) start(deadline);
    expect(clock.pending).toBe(1);
    jobs.clear();
    await clock.advance(1);
    expect(clock.pending).toBe(0);
  });

  it('calls nobody when it was stopped', async () => {
    const { clock, late, watch, start } = watching();
    start(100);
    watch.stop();
    expect(clock.pending).toBe(0);
    await clock.advance(1000);
    expect(late).toEqual([]);
  });

  it.each([1, 2, 3])('is exact for jobs that come and go at random (seed %i)', async (seed) => {
    const { clock, jobs, late, start } = watching();
    const random = seeded(seed);
    const expected = new Map<Job, number>();
    for (let round = 0; round < 200; round++) {
      const deadline = clock.now() + 1 + Math.floor(random() * 50);
      expected.set(start(deadline), deadline);
      for (const job of jobs)
        if (random() < 0.02 && job.deadline > 0) {
          jobs.delete(job);
          expected.delete(job);
        }
      await clock.advance(Math.floor(random() * 5));
    }
    await clock.advance(100);
    expect(new Map(late.map(({ job, at }) => [job, at]))).toEqual(expected);
    expect(late).toHaveLength(expected.size);
  });
});
