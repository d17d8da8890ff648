import type { Clock, Timer } from '../clock.js';

/** Watches many deadlines with one timer: a timer for each event would cost more than most listeners do. */
export class TimeoutWatch<J extends { deadline: number }> {
  readonly #watched = new Set<J>();
  #timer: Timer | undefined;
  #armedFor = Infinity;

  constructor(
    private readonly clock: Clock,
    private readonly expired: (job: J) => void,
  ) {}

  /** Calls `expired` once, when `job.deadline` (milliseconds since 1970) has come and it has not been removed. */
  add(job: J): void {
    this.#watched.add(job);
    if (job.deadline < this.#armedFor) this.#arm(job.deadline);
  }

  remove(job: J): void {
    this.#watched.delete(job);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#armedFor = Infinity;
    this.#watched.clear();
  }

  #arm(deadline: number): void {
    this.#timer?.cancel();
    this.#armedFor = deadline;
    this.#timer = this.clock.setTimeout(() => this.#look(), Math.max(0, deadline - this.clock.now()));
  }

  // Jobs come and go without touching the timer; when it fires it looks who is still there and goes by the earliest.
  #look(): void {
    this.#armedFor = Infinity;
    const now = this.clock.now();
    const late = [...this.#watched].filter((job) => job.deadline <= now);
    for (const job of late) this.#watched.delete(job);
    let earliest = Infinity;
    for (const job of this.#watched) earliest = Math.min(earliest, job.deadline);
    if (earliest !== Infinity) this.#arm(earliest);
    for (const job of late) this.expired(job);
  }
}
