import type { Clock, Timer } from '../clock.js';
import { type LaneJob, Lanes, Places, type Turns } from './lanes.js';

/** A job that may be handled together with others. */
export interface BatchJob extends LaneJob {
  /** The batch that it belongs to; none, while it waits for one or is handled alone. */
  batch: Batch | undefined;
}

/** Jobs that got their turn together. It runs when each of them has either joined or left. */
export class Batch {
  readonly #joined: BatchJob[] = [];
  #present: number;
  #started = false;

  constructor(
    size: number,
    private readonly run: (joined: readonly BatchJob[]) => void,
    private readonly over: () => void,
  ) {
    this.#present = size;
  }

  /** The job is read and valid, and takes part. */
  join(job: BatchJob): void {
    this.#joined.push(job);
    this.#look();
  }

  /** A job is done, or goes another way. The last to leave frees the batch's place. */
  leave(): void {
    this.#present--;
    if (this.#present === 0) this.over();
    else this.#look();
  }

  #look(): void {
    if (this.#started || this.#joined.length < this.#present) return;
    this.#started = true;
    this.run(this.#joined);
  }
}

export interface BatchLanesOptions<J> {
  /** Jobs that a batch has at most. */
  readonly size: number;
  /** Milliseconds for which the first of a batch waits for company. */
  readonly wait: number;
  /** Batches, and jobs alone, that execute at one time. */
  readonly concurrency: number;
  readonly clock: Clock;
  /** A job has its turn: with its batch, or alone. */
  readonly turn: (job: J) => void;
  /** All that takes part in a batch is there. */
  readonly run: (jobs: readonly J[]) => void;
}

/**
 * Who runs when, in batches: of one key in order, and never in two batches at one time. What is to be handled alone, because its
 * batch failed or it is to be retried, holds its key until it is done.
 */
export class BatchLanes<J extends BatchJob> implements Turns<J> {
  readonly #places: Places;
  readonly #alone: Lanes<J>;
  #ready: J[] = [];
  /** How many jobs of a lane are in a batch or handled alone; and what waits for it meanwhile. */
  readonly #held = new Map<string, { count: number; readonly blocked: J[] }>();
  #timer: Timer | undefined;
  /** The first that is ready has waited for long enough. */
  #due = false;
  #looking = false;

  constructor(private readonly options: BatchLanesOptions<J>) {
    this.#places = new Places(options.concurrency);
    this.#alone = new Lanes(this.#places, options.turn);
  }

  add(job: J): void {
    const held = job.lane === undefined ? undefined : this.#held.get(job.lane);
    (held?.blocked ?? this.#ready).push(job);
    this.#look();
  }

  yield(job: J): void {
    if (job.batch === undefined) this.#alone.yield();
    else job.batch.leave();
    this.#look();
  }

  hold(job: J): boolean {
    const { batch } = job;
    if (batch === undefined) {
      this.yield(job);
      return true;
    }
    job.batch = undefined;
    const first = this.#alone.adopt(job);
    batch.leave();
    return first;
  }

  again(job: J): void {
    this.#alone.again(job);
  }

  /** The batch failed, nobody knows by whom: the job is handled alone, in its place. */
  alone(job: J): void {
    const { batch } = job;
    job.batch = undefined;
    this.#alone.add(job);
    batch?.leave();
  }

  finish(job: J, executing: boolean): void {
    const { batch, lane } = job;
    job.batch = undefined;
    if (lane !== undefined) this.#release(lane);
    if (batch === undefined) this.#alone.finish(job, executing);
    else if (executing) batch.leave();
    this.#look();
  }

  /** Nothing waits for company any more. */
  stop(): void {
    this.#timer?.cancel();
  }

  // A loop with a guard, as in `Lanes`: a batch may be over before it has begun.
  #look(): void {
    if (this.#looking) return;
    this.#looking = true;
    const { size, wait, clock } = this.options;
    while (this.#places.free && this.#ready.length > 0 && (this.#due || this.#ready.length >= size)) this.#start();
    this.#looking = false;
    if (this.#ready.length > 0 && !this.#due && this.#timer === undefined)
      this.#timer = clock.setTimeout(
        () => {
          this.#timer = undefined;
          this.#due = true;
          this.#look();
        },
        wait,
        true,
      );
  }

  #start(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#due = false;
    const members = this.#ready.splice(0, this.options.size);
    const batch = new Batch(
      members.length,
      (joined) => this.options.run(joined as J[]),
      () => this.#over(),
    );
    this.#places.taken++;
    for (const { lane } of members) if (lane !== undefined) this.#hold(lane);
    this.#ready = this.#ready.filter((job) => {
      const held = job.lane === undefined ? undefined : this.#held.get(job.lane);
      held?.blocked.push(job);
      return held === undefined;
    });
    for (const job of members) job.batch = batch;
    for (const job of members) this.options.turn(job);
  }

  #over(): void {
    this.#places.taken--;
    // Those alone come first: they hold up their keys.
    this.#alone.pump();
    this.#look();
  }

  #hold(lane: string): void {
    const held = this.#held.get(lane);
    if (held === undefined) this.#held.set(lane, { count: 1, blocked: [] });
    else held.count++;
  }

  #release(lane: string): void {
    const held = this.#held.get(lane);
    if (held === undefined || --held.count > 0) return;
    this.#held.delete(lane);
    this.#ready.push(...held.blocked);
  }
}
