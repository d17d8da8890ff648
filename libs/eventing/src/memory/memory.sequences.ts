import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type {
  DeadLetterSequences,
  LetterRelease,
  ReleasedLetter,
  ReleaseOutcome,
  SequenceKey,
} from '../dead-letters/dead-letter.sequences.js';

/** A letter in its store. */
export interface LetterEntry {
  /** In order of arrival; what a cursor names, so that a page after a removal misses nothing. */
  readonly number: number;
  letter: DeadLetter;
  /** The row that it stands in. */
  readonly row: string | undefined;
  /** How often it was released, and whether the last time is not over yet. */
  releases: number;
  isReleased: boolean;
  /** The letter whose handling released it. */
  after: string | undefined;
}

/** What rows need of the store that they are in. */
export interface LetterShelf {
  find(id: string): LetterEntry | undefined;
  store(letter: DeadLetter): void;
  take(id: string): void;
  /** Throws where a fault is injected. */
  check(): void;
}

/** The name of a letter's row; `undefined` where it stands alone. */
export function rowOf({ listener, channel, message, sequence }: DeadLetter): string | undefined {
  return sequence === undefined || message.key === undefined ? undefined : nameOf(listener, channel, message.key);
}

/** Dead letters in the order of their keys. One process, one step: every call is atomic. */
export class MemorySequences {
  private readonly rows = new Map<string, LetterEntry[]>();

  constructor(private readonly shelf: LetterShelf) {}

  add(entry: LetterEntry): void {
    if (entry.row === undefined) return;
    const row = this.rows.get(entry.row);
    if (row === undefined) this.rows.set(entry.row, [entry]);
    else row.push(entry);
  }

  drop(entry: LetterEntry): void {
    const row = entry.row === undefined ? undefined : this.rows.get(entry.row);
    if (entry.row === undefined || row === undefined) return;
    row.splice(row.indexOf(entry), 1);
    if (row.length === 0) this.rows.delete(entry.row);
  }

  /** A letter as it is shown: with its place at this moment. */
  shown({ letter, row, isReleased }: LetterEntry): DeadLetter {
    if (row === undefined) return letter;
    const isFirst = this.rows.get(row)?.[0]?.letter.id === letter.id;
    return { ...letter, sequence: isReleased ? 'released' : isFirst ? 'first' : 'waiting' };
  }

  /** What a provider offers. @param reach throws where the broker cannot be reached by it */
  offered(reach: () => void): DeadLetterSequences {
    const reached = async <T>(step: () => T): Promise<T> => {
      reach();
      return step();
    };
    return {
      park: (sequence, letter) => reached(() => this.park(sequence, letter)),
      release: (id) => reached(() => this.release(id)),
      isCurrent: (release) => reached(() => this.current(release) !== undefined),
      advance: (sequence, release) => reached(() => this.advance(sequence, release)),
      failed: (letter, release) => reached(() => this.failed(letter, release)),
    };
  }

  private park({ listener, channel, key }: SequenceKey, letter: () => DeadLetter): boolean {
    if (!this.rows.has(nameOf(listener, channel, key))) return false;
    this.shelf.store({ ...letter(), sequence: 'waiting' });
    return true;
  }

  private release(id: string): ReleaseOutcome {
    const entry = this.shelf.find(id);
    const first = entry?.row === undefined ? undefined : this.rows.get(entry.row)?.[0];
    if (entry === undefined || first === undefined) return { kind: 'gone' };
    if (first !== entry) return { kind: 'behind', first: first.letter.id };
    return { kind: 'released', number: send(entry, undefined) };
  }

  private current({ letter, number }: LetterRelease): LetterEntry | undefined {
    const entry = this.shelf.find(letter);
    return entry?.isReleased === true && entry.releases === number ? entry : undefined;
  }

  private advance({ listener, channel, key }: SequenceKey, release: LetterRelease): ReleasedLetter | undefined {
    const name = nameOf(listener, channel, key);
    const entry = this.current(release);
    if (entry !== undefined) {
      this.shelf.take(release.letter);
      const next = this.rows.get(name)?.[0];
      return next && { letter: next.letter, number: send(next, release.letter) };
    }
    if (this.shelf.find(release.letter) !== undefined) return undefined;
    const head = this.rows.get(name)?.[0];
    if (head?.isReleased !== true || head.after !== release.letter) return undefined;
    return { letter: head.letter, number: send(head, release.letter) };
  }

  private failed(letter: DeadLetter, release: LetterRelease): void {
    const entry = this.current(release);
    if (entry === undefined) return;
    this.shelf.check();
    entry.letter = letter;
    entry.isReleased = false;
    entry.after = undefined;
  }
}

function send(entry: LetterEntry, after: string | undefined): number {
  entry.isReleased = true;
  entry.after = after;
  return ++entry.releases;
}

function nameOf(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}
