import type { Clock, Timer } from '../clock.js';

/** Watches many deadlines with one timer: a timer for each event would cost more than most listeners do. */
export class TimeoutWatch<J extends { readonly deadline: number }> {
  #timer: Timer | undefined;
  #armedFor = Infinity;

  constructor(
    private readonly clock: Clock,
    /** Those that may be watched; a deadline of 0 means that nothing is expected of one. */
    private readonly jobs: Iterable<J>,
    /** Called for each whose deadline has come; it must move the deadline or set it to 0. */
    private readonly expired: (job: J) => void,
  ) {}

  /** Some job has this deadline now (milliseconds since 1970). */
  expect(deadline: number): void {
    if (deadline >= this.#armedFor) return;
    this.#timer?.cancel();
    this.#armedFor = deadline;
    this.#timer = this.clock.setTimeout(() => this.#look(), Math.max(0, deadline - this.clock.now()));
  }

  stop(): void {
    this.#timer?.cancel();
    this.#armedFor = Infinity;
  }

  // Jobs come and go without touching the timer; when it fires it looks who is late, and goes by the earliest of the rest.
  #look(): void {
    this.#armedFor = Infinity;
    const now = this.clock.now();
    const watched = [...this.jobs].filter((job) => job.deadline > 0);
    for (const job of watched) if (job.deadline <= now) this.expired(job);
    let earliest = Infinity;
    for (const job of watched) if (job.deadline > 0) earliest = Math.min(earliest, job.deadline);
    if (earliest !== Infinity) this.expect(earliest);
  }
}
