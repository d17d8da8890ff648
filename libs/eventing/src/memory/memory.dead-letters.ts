import type { DeadLetter } from '../dead-letters/dead-letter.js';
import { EventingError } from '../errors/eventing.error.js';
import type { DeadLetterPage, DeadLetterQuery, DeadLetterStore } from '../provider/event-provider.js';

interface Entry {
  /** In order of arrival; what a cursor names, so that a page after a removal misses nothing. */
  readonly number: number;
  readonly letter: DeadLetter;
}

/** The dead letters of one service. They live as long as the broker. */
export class MemoryDeadLetters implements DeadLetterStore {
  private entries: Entry[] = [];
  private readonly ids = new Set<string>();
  private nextNumber = 1;

  /**
   * @param capacity letters that it takes
   * @param check throws where a fault is injected
   */
  constructor(
    private readonly service: string,
    private readonly capacity: number,
    private readonly check: () => void,
  ) {}

  /** Throws EVT_DEAD_LETTER_FAILED where it is full. Idempotent by id. */
  store(letter: DeadLetter): void {
    this.check();
    if (this.ids.has(letter.id)) return;
    if (this.entries.length >= this.capacity) {
      throw new EventingError(
        'EVT_DEAD_LETTER_FAILED',
        `the in-memory broker has ${this.capacity} dead letters of service "${this.service}" and takes no more: ` +
          'redrive or remove some, or raise deadLetterCapacity',
      );
    }
    this.ids.add(letter.id);
    this.entries.push({ number: this.nextNumber++, letter });
  }

  async append(letter: DeadLetter): Promise<void> {
    this.store(letter);
  }

  async scan({ cursor, limit }: DeadLetterQuery): Promise<DeadLetterPage> {
    const start = cursor === undefined ? 0 : this.after(this.read(cursor));
    const page = this.entries.slice(start, start + Math.max(1, limit));
    const last = page.at(-1);
    const letters = page.map((entry) => entry.letter);
    const more = start + page.length < this.entries.length;
    return last !== undefined && more ? { letters, cursor: String(last.number) } : { letters };
  }

  async remove(ids: readonly string[]): Promise<void> {
    const gone = new Set(ids.filter((id) => this.ids.delete(id)));
    if (gone.size > 0) this.entries = this.entries.filter((entry) => !gone.has(entry.letter.id));
  }

  private read(cursor: string): number {
    if (/^\d{1,15}$/.test(cursor)) return Number(cursor);
    throw new EventingError(
      'EVT_INVALID_OPTIONS',
      `"${cursor}" is no cursor of a dead-letter page: pass one on as it came`,
    );
  }

  /** Index of the first entry behind `number`. */
  private after(number: number): number {
    let low = 0;
    let high = this.entries.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.entries[middle]?.number ?? 0) <= number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
