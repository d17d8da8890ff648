import type { DeadLetter } from '../dead-letters/dead-letter.js';
import { EventingError } from '../errors/eventing.error.js';
import type { DeadLetterPage, DeadLetterQuery, DeadLetterStore } from '../provider/event-provider.js';
import { type LetterEntry, MemorySequences, rowOf } from './memory.sequences.js';

/** The dead letters of one service. They live as long as the broker. */
export class MemoryDeadLetters implements DeadLetterStore {
  private entries: LetterEntry[] = [];
  private readonly byId = new Map<string, LetterEntry>();
  private nextNumber = 1;
  private readonly rows: MemorySequences;

  /**
   * @param capacity letters that it takes
   * @param check throws where a fault is injected
   */
  constructor(
    private readonly service: string,
    private readonly capacity: number,
    private readonly check: () => void,
  ) {
    this.rows = new MemorySequences({
      check,
      find: (id) => this.byId.get(id),
      store: (letter) => this.store(letter),
      take: (id) => this.take([id]),
    });
  }

  /** The same store for one provider. @param reach throws where it cannot reach the broker: a process that died changes no row */
  reachedBy(reach: () => void): DeadLetterStore {
    return {
      append: (letter) => this.append(letter),
      scan: (query) => this.scan(query),
      remove: (ids) => this.remove(ids),
      sequences: this.rows.offered(reach),
    };
  }

  /** Throws EVT_DEAD_LETTER_FAILED where it is full. Idempotent by id. */
  store(letter: DeadLetter): void {
    this.check();
    if (this.byId.has(letter.id)) return;
    if (this.entries.length >= this.capacity) {
      throw new EventingError(
        'EVT_DEAD_LETTER_FAILED',
        `the in-memory broker has ${this.capacity} dead letters of service "${this.service}" and takes no more: ` +
          'redrive or remove some, or raise deadLetterCapacity',
      );
    }
    const number = this.nextNumber++;
    const entry = { number, letter, row: rowOf(letter), releases: 0, isReleased: false, after: undefined };
    this.byId.set(letter.id, entry);
    this.entries.push(entry);
    this.rows.add(entry);
  }

  async append(letter: DeadLetter): Promise<void> {
    this.store(letter);
  }

  async scan({ cursor, limit }: DeadLetterQuery): Promise<DeadLetterPage> {
    const start = cursor === undefined ? 0 : this.after(this.read(cursor));
    const page = this.entries.slice(start, start + Math.max(1, limit));
    const last = page.at(-1);
    const letters = page.map((entry) => this.rows.shown(entry));
    const more = start + page.length < this.entries.length;
    return last !== undefined && more ? { letters, cursor: String(last.number) } : { letters };
  }

  async remove(ids: readonly string[]): Promise<void> {
    this.take(ids);
  }

  private take(ids: readonly string[]): void {
    const gone = new Set(ids.flatMap((id) => this.byId.get(id) ?? []));
    if (gone.size === 0) return;
    for (const entry of gone) {
      this.byId.delete(entry.letter.id);
      this.rows.drop(entry);
    }
    this.entries = this.entries.filter((entry) => !gone.has(entry));
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
