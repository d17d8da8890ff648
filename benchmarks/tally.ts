/** Counts events and sums what they carry: a lost and a repeated one cannot make up for each other. */
export class Tally {
  #count = 0;
  #sum = 0;
  #wanted = Infinity;
  #resolve: () => void = () => undefined;

  get count(): number {
    return this.#count;
  }

  start(): void {
    this.#count = 0;
    this.#sum = 0;
    this.#wanted = Infinity;
  }

  add(value: number): void {
    this.#count++;
    this.#sum += value;
    if (this.#count === this.#wanted) this.#resolve();
  }

  /** Resolves when `count` events have come. */
  reached(count: number): Promise<void> | undefined {
    if (this.#count >= count) return undefined;
    this.#wanted = count;
    return new Promise((resolve) => (this.#resolve = resolve));
  }

  /** Throws unless exactly the events numbered 0 to `events` - 1 have come. */
  check(events: number): void {
    const sum = (events * (events - 1)) / 2;
    if (this.#count !== events || this.#sum !== sum)
      throw new Error(`${events} events were sent, ${this.#count} arrived (sum ${this.#sum}, not ${sum})`);
  }
}
