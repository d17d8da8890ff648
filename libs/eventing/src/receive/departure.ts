import { EventingError } from '../errors/eventing.error.js';
import type { DeliveryJob } from './delivery.job.js';
import type { OpenJobs } from './open.jobs.js';
import type { Settler } from './settler.js';

/** How deliveries leave that are not settled: with their source, or with this process. */
export class Departure {
  constructor(
    private readonly open: OpenJobs,
    private readonly settler: Settler,
    /** The subscription's. */
    private readonly name: string,
    /** One that held its lane lets it go on. */
    private readonly done: (job: DeliveryJob) => void,
  ) {}

  /** Lets the chosen jobs go: what waits, at once; those at work have `milliseconds` to finish, then they are aborted. */
  async of(
    chosen: (job: DeliveryJob) => boolean,
    leaving: NonNullable<DeliveryJob['leaving']>,
    milliseconds: number,
  ): Promise<void> {
    const atWork: DeliveryJob[] = [];
    const holding: DeliveryJob[] = [];
    // All are marked before any lane goes on: the next of a key must not run before the one that was let go.
    for (const job of [...this.open].filter(chosen)) {
      job.leaving = leaving;
      if (isAtWork(job)) {
        atWork.push(job);
        continue;
      }
      if (leaving === 'released') this.settler.release(job);
      job.timer?.cancel();
      // One that is queued keeps its place in its lane, and is passed over when its turn comes.
      if (job.state !== 'queued') holding.push(job);
      job.state = 'gone';
      this.open.remove(job);
    }
    for (const job of holding) this.done(job);
    const late = await this.open.closed(atWork, milliseconds);
    const text = `${this.name} had ${milliseconds} ms to finish and did not: heed envelope.signal.`;
    for (const job of late) {
      // It keeps its lane until it returns or times out: should its key come back, it must not run twice here.
      job.state = 'gone';
      job.abort?.abort(new EventingError('EVT_NOT_RUNNING', text));
    }
  }
}

/** Also one that was given up and has not returned: it still uses what is about to be closed. */
function isAtWork({ state, timer }: DeliveryJob): boolean {
  return state === 'executing' || state === 'gone' || (state === 'settling' && timer === undefined);
}
