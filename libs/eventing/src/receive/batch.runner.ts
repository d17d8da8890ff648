import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { AttemptRunner } from './attempt.runner.js';
import type { HandledInBatch } from './batch.outcome.js';
import type { DeliveryJob } from './delivery.job.js';

/** What becomes of the jobs of a batch. */
export interface BatchFate {
  /** Counts a run of the job, and sets its deadline. */
  begins(job: DeliveryJob): void;
  succeeded(job: DeliveryJob, handled: HandledInBatch | undefined): void;
  failed(job: DeliveryJob, error: unknown): void;
  /** It has to be handled by itself. */
  alone(job: DeliveryJob): void;
  warn(job: DeliveryJob, text: string, error: unknown): void;
}

/** Calls a batch listener, and tells each job of a batch apart from the others how it went. */
export class BatchRunner {
  constructor(
    private readonly attempts: Pick<AttemptRunner, 'runBatch'>,
    private readonly listener: ListenerDescriptor,
    private readonly fate: BatchFate,
  ) {}

  run(jobs: readonly DeliveryJob[]): void {
    const runs = jobs.map((job) => {
      this.fate.begins(job);
      return job.run;
    });
    void this.attempts.runBatch(jobs, this.listener).then((outcome) => {
      const { fate, listener } = this;
      // One that was given up for lost meanwhile has another run, or none.
      const current = (job: DeliveryJob, index: number): boolean => job.run === runs[index];
      // At-most-once: nothing is called twice, so all of a batch failed.
      const oneByOne = outcome.kind === 'unknown' && listener.guarantee !== 'at-most-once';
      const first = jobs.find(current);
      if (oneByOne && first !== undefined) {
        const text = `${listener.label} failed at a batch of ${jobs.length}; each of its events is handled alone. The first`;
        fate.warn(first, text, outcome.error);
      }
      for (const [index, job] of jobs.entries()) {
        if (!current(job, index)) continue;
        if (oneByOne) fate.alone(job);
        else if (outcome.kind === 'unknown') fate.failed(job, outcome.error);
        else if (outcome.failures.has(index)) fate.failed(job, outcome.failures.get(index));
        else fate.succeeded(job, outcome.handled?.get(index));
      }
    });
  }
}
