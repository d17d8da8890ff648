import type { EventEntry } from './account.js';

/** Gathers what becomes of events, in one place for the whole shop. */
export class Journal {
  readonly #entries: EventEntry[] = [];
  readonly #readers = new Set<(entry: EventEntry) => void>();

  /** Milliseconds since 1970, fine enough to put any two entries in order. */
  now(): number {
    return performance.timeOrigin + performance.now();
  }

  write(entry: EventEntry): void {
    this.#entries.push(entry);
    for (const reader of this.#readers) reader(entry);
  }

  /** What has been written, in the order of writing. */
  get entries(): readonly EventEntry[] {
    return this.#entries;
  }

  /** Calls `reader` with what is written from now on. */
  follow(reader: (entry: EventEntry) => void): void {
    this.#readers.add(reader);
  }
}
