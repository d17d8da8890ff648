import type { Clock } from '../clock.js';
import type { DeliveryJob } from './delivery.job.js';

/** The deliveries that are not settled, in order of arrival. Linked through the jobs themselves: each event passes here. */
export class OpenJobs {
  #first: DeliveryJob | undefined;
  #last: DeliveryJob | undefined;
  #size = 0;
  readonly #watchers = new Set<() => void>();

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.#size;
  }

  /** When the oldest was sent, milliseconds since 1970. */
  get oldest(): number | undefined {
    let oldest: number | undefined;
    for (const { delivery } of this) oldest = Math.min(oldest ?? Infinity, delivery.time);
    return oldest;
  }

  add(job: DeliveryJob): void {
    job.open = true;
    job.before = this.#last;
    if (this.#last === undefined) this.#first = job;
    else this.#last.after = job;
    this.#last = job;
    this.#size++;
  }

  /** False when it was not there. */
  remove(job: DeliveryJob): boolean {
    if (!job.open) return false;
    job.open = false;
    if (job.before === undefined) this.#first = job.after;
    else job.before.after = job.after;
    if (job.after === undefined) this.#last = job.before;
    else job.after.before = job.before;
    job.before = undefined;
    job.after = undefined;
    this.#size--;
    if (this.#watchers.size > 0) for (const look of [...this.#watchers]) look();
    return true;
  }

  /** Jobs removed while it runs may end it early: copy first. */
  *[Symbol.iterator](): Iterator<DeliveryJob> {
    for (let job = this.#first; job !== undefined; job = job.after) yield job;
  }

  /** Resolves when none of `jobs` is open any more, or after `milliseconds`; with those that still are. */
  closed(jobs: readonly DeliveryJob[], milliseconds: number): Promise<DeliveryJob[]> {
    return new Promise((resolve) => {
      const end = (): void => {
        this.#watchers.delete(look);
        timer.cancel();
        resolve(jobs.filter((job) => job.open));
      };
      const look = (): void => {
        if (!jobs.some((job) => job.open)) end();
      };
      const timer = this.clock.setTimeout(end, milliseconds, true);
      this.#watchers.add(look);
      look();
    });
  }
}
