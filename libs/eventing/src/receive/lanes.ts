/** A piece of work that waits for its turn. The lane links are kept in it, so that queueing allocates nothing. */
export interface LaneJob {
  /** Jobs of one lane run one after the other, in the order added; those without run whenever there is room. */
  readonly lane: string | undefined;
  nextInLane: LaneJob | undefined;
}

/**
 * Who runs when: one key in order, different keys side by side, at most `concurrency` executing. A job holds its lane from
 * its turn until `finish`, also while it is `yield`ed (in back-off, waiting for its time) and takes no place.
 */
export class Lanes<J extends LaneJob> {
  /** The last job of each lane. */
  readonly #lanes = new Map<string, J>();
  #ready: J[] = [];
  #head = 0;
  #executing = 0;
  #pumping = false;

  constructor(
    private readonly concurrency: number,
    private readonly execute: (job: J) => void,
  ) {}

  get executing(): number {
    return this.#executing;
  }

  /** Queues a job; runs it, and others, if there is room. */
  add(job: J): void {
    if (job.lane !== undefined) {
      const last = this.#lanes.get(job.lane);
      this.#lanes.set(job.lane, job);
      if (last !== undefined) {
        last.nextInLane = job;
        return;
      }
    }
    this.#ready.push(job);
    this.#pump();
  }

  /** The executing job gives up its place and keeps its lane. */
  yield(): void {
    this.#executing--;
    this.#pump();
  }

  /** A yielded job wants to execute again. It queues behind those that are ready. */
  again(job: J): void {
    this.#ready.push(job);
    this.#pump();
  }

  /** The job is done: its lane goes on. `executing` tells whether it had a place to give back. */
  finish(job: J, executing: boolean): void {
    if (executing) this.#executing--;
    if (job.lane !== undefined) {
      const next = job.nextInLane as J | undefined;
      if (next === undefined) this.#lanes.delete(job.lane);
      else this.#ready.push(next);
      job.nextInLane = undefined;
    }
    this.#pump();
  }

  // A loop with a guard, not recursion: a listener that returns at once would otherwise grow the stack by each event.
  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#executing < this.concurrency && this.#head < this.#ready.length) {
      const job = this.#ready[this.#head++] as J;
      if (this.#head === this.#ready.length) {
        this.#ready = [];
        this.#head = 0;
      } else if (this.#head > 1024) {
        this.#ready = this.#ready.slice(this.#head);
        this.#head = 0;
      }
      this.#executing++;
      this.execute(job);
    }
    this.#pumping = false;
  }
}
