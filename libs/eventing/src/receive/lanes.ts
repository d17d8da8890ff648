/** A piece of work that waits for its turn. The lane links are kept in it, so that queueing allocates nothing. */
export interface LaneJob {
  /** Jobs of one lane run one after the other, in the order added; those without run whenever there is room. */
  readonly lane: string | undefined;
  nextInLane: LaneJob | undefined;
}

/** Kept for a while when it is idle: keys come back, and making a lane costs more than finding one. */
interface Lane<J> {
  /** The job that the next one comes after; `undefined` while the lane is idle. */
  last: J | undefined;
}

const FEWEST = 1024;

/** Room to execute, which several may share. */
export class Places {
  taken = 0;
  constructor(readonly count: number) {}

  get free(): boolean {
    return this.taken < this.count;
  }
}

/** Who gives jobs their turns, one lane in order. */
export interface Turns<J> {
  /** Queues a job; runs it, and others, if there is room. */
  add(job: J): void;
  /** The executing job gives up its place and keeps its lane. */
  yield(job: J): void;
  /** As `yield`, for one that wants to execute again. False: others of its lane come first, and then it gets its turn. */
  hold(job: J): boolean;
  /** A job that was held wants to execute again. It queues behind those that are ready. */
  again(job: J): void;
  /** The job is done: its lane goes on. `executing` tells whether it had a place to give back. */
  finish(job: J, executing: boolean): void;
}

/**
 * Who runs when: one key in order, different keys side by side, at most `concurrency` executing. A job holds its lane from
 * its turn until `finish`, also while it is `yield`ed (in back-off, waiting for its time) and takes no place.
 */
export class Lanes<J extends LaneJob> implements Turns<J> {
  readonly #lanes = new Map<string, Lane<J>>();
  /** How many lanes are known before idle ones are forgotten. */
  #limit = FEWEST;
  #ready: J[] = [];
  #head = 0;
  #pumping = false;

  constructor(
    private readonly places: Places,
    private readonly execute: (job: J) => void,
  ) {}

  add(job: J): void {
    if (job.lane !== undefined && this.#standsBehind(job, job.lane)) return;
    if (this.#pumping || this.#head < this.#ready.length || !this.places.free) {
      this.#ready.push(job);
      return this.pump();
    }
    // Mostly nobody waits: it runs without having stood in the row.
    this.#pumping = true;
    this.places.taken++;
    this.execute(job);
    this.#pumping = false;
    if (this.#ready.length > 0) this.pump();
  }

  #standsBehind(job: J, name: string): boolean {
    const lane = this.#lanes.get(name) ?? this.#open(name);
    const { last } = lane;
    lane.last = job;
    if (last === undefined) return false;
    last.nextInLane = job;
    return true;
  }

  #open(name: string): Lane<J> {
    const lane: Lane<J> = { last: undefined };
    this.#lanes.set(name, lane);
    if (this.#lanes.size > this.#limit) {
      for (const [known, { last }] of this.#lanes) if (last === undefined && known !== name) this.#lanes.delete(known);
      this.#limit = Math.max(FEWEST, 2 * this.#lanes.size);
    }
    return lane;
  }

  yield(): void {
    this.places.taken--;
    this.pump();
  }

  hold(): boolean {
    this.yield();
    return true;
  }

  again(job: J): void {
    this.#ready.push(job);
    this.pump();
  }

  /** Takes over a job that had its turn elsewhere: it holds its lane without a place. False: it stands behind others. */
  adopt(job: J): boolean {
    if (job.lane === undefined) return true;
    return !this.#standsBehind(job, job.lane);
  }

  finish(job: J, executing: boolean): void {
    if (executing) this.places.taken--;
    if (job.lane !== undefined) {
      const next = job.nextInLane as J | undefined;
      if (next !== undefined) {
        this.#ready.push(next);
        job.nextInLane = undefined;
      } else {
        const lane = this.#lanes.get(job.lane);
        if (lane !== undefined) lane.last = undefined;
      }
    }
    this.pump();
  }

  /** Runs what is ready, as far as there is room. A loop with a guard: a listener that returns at once must not grow the stack. */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.places.free && this.#head < this.#ready.length) {
      const job = this.#ready[this.#head++] as J;
      if (this.#head === this.#ready.length) {
        this.#ready = [];
        this.#head = 0;
      } else if (this.#head > 1024) {
        this.#ready = this.#ready.slice(this.#head);
        this.#head = 0;
      }
      this.places.taken++;
      this.execute(job);
    }
    this.#pumping = false;
  }
}
