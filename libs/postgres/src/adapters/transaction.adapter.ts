import type { Row } from '../sql/database.js';

/**
 * Runs one statement in the transaction of whoever made it, and gives its rows: all that the outbox and the inbox ask of a client
 * library. Values are bound as `$1`, `$2`, …; they are strings, booleans, bytes (`Uint8Array`) or null, never arrays. Rejects as the
 * library does.
 */
export interface TransactionAdapter {
  (sql: string, values: readonly unknown[]): Promise<readonly Row[]>;
  /**
   * Calls `told`, once however often it was given, when the transaction has committed: not a savepoint of it, and not before others see it.
   * Without, the outbox has each transaction give its id back and asks the database how it ended: a few hundredths of a millisecond more.
   */
  readonly onCommit?: (told: () => void) => void;
}

/**
 * Runs `work` in a transaction: commits when it resolves, rolls back when it rejects, and rejects where it could not commit.
 * `client` is what the library's own calls join the transaction by.
 */
export type TransactionRunner<Client> = <T>(
  work: (client: Client, adapter: TransactionAdapter) => Promise<T>,
) => Promise<T>;

/** Of one transaction: whom to tell that it has committed. */
export class CommitCalls {
  readonly #told = new Set<() => void>();

  /** The adapter, from which the calls come. */
  of(adapter: TransactionAdapter): TransactionAdapter {
    return Object.assign(adapter, { onCommit: (told: () => void) => void this.#told.add(told) });
  }

  /** It has committed. */
  done(): void {
    for (const told of this.#told) told();
  }
}

/**
 * The COMMIT of a transaction in which a statement failed is answered with a rollback, and not with an error. A library that
 * does not tell has to be asked before it commits: any statement fails then.
 */
export async function checkAlive(adapter: TransactionAdapter): Promise<void> {
  await adapter('select 1', []);
}
