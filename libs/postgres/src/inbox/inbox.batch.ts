import { EventingError, type InboxBatchOutcome, type InboxEntry, type StagedMessage } from 'nestjs-eventing';
import type { Row } from '../sql/database.js';
import { entriesJson, keyOf, knownOutputs, wentMeanwhile } from './inbox.entry.js';

/** Which entries of a batch are new, and what is known of the others. One event may be among them more than once. */
export class InboxBatch {
  /** The first of each event. */
  readonly #firsts = new Map<string, number>();
  #new: ReadonlySet<string> = new Set();
  readonly #rows = new Map<string, Row>();

  constructor(private readonly entries: readonly InboxEntry[]) {
    for (const [index, entry] of entries.entries()) {
      const key = keyOf(entry);
      if (!this.#firsts.has(key)) this.#firsts.set(key, index);
    }
  }

  /** What is to be entered. */
  get json(): string {
    return entriesJson(this.#select(() => true));
  }

  /** @param rows those that were new */
  entered(rows: readonly Row[]): void {
    this.#new = new Set(rows.map((row) => keyOf({ source: row['source'], id: row['id'] })));
  }

  /** What is to be looked for; `undefined`: nothing was known. */
  get asked(): string | undefined {
    const known = this.#select((key) => !this.#new.has(key));
    return known.length === 0 ? undefined : entriesJson(known);
  }

  found(rows: readonly Row[]): void {
    for (const row of rows) this.#rows.set(keyOf({ source: row['source'], id: row['id'] }), row);
  }

  /** @throws EventingError EVT_TRANSACTION_FAILED where an entry that was known is gone */
  result(): { readonly fresh: readonly number[]; readonly known: InboxBatchOutcome['known'] } {
    const fresh: number[] = [];
    const known = new Map<number, readonly StagedMessage[] | EventingError>();
    for (const [index, entry] of this.entries.entries()) {
      const key = keyOf(entry);
      const isNew = this.#new.has(key);
      if (isNew && this.#firsts.get(key) === index) fresh.push(index);
      else known.set(index, this.#known(entry, key, isNew));
    }
    return { fresh, known };
  }

  #known(entry: InboxEntry, key: string, isNew: boolean): readonly StagedMessage[] | EventingError {
    // A second one of this batch: the outputs of the first are published before either is accepted.
    const first = this.entries[this.#firsts.get(key) ?? -1];
    const row = isNew ? { digest: first?.digest, outputs: null } : this.#rows.get(key);
    if (row === undefined) throw wentMeanwhile(entry);
    try {
      return knownOutputs(row, entry);
    } catch (error) {
      if (error instanceof EventingError) return error;
      throw error;
    }
  }

  #select(wanted: (key: string) => boolean): readonly InboxEntry[] {
    return [...this.#firsts].flatMap(([key, index]) => {
      const entry = this.entries[index];
      return entry !== undefined && wanted(key) ? [entry] : [];
    });
  }
}
