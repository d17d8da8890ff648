import type { Row } from '../sql/database.js';

/**
 * Runs one statement in the transaction of whoever made it, and gives its rows: all that the outbox and the inbox ask of a client
 * library. Values are bound as `$1`, `$2`, …; they are strings, booleans, bytes (`Uint8Array`) or null, never arrays. Rejects as the
 * library does.
 */
export type TransactionAdapter = (sql: string, values: readonly unknown[]) => Promise<readonly Row[]>;

/**
 * Runs `work` in a transaction: commits when it resolves, rolls back when it rejects, and rejects where it could not commit.
 * `client` is what the library's own calls join the transaction by.
 */
export type TransactionRunner<Client> = <T>(
  work: (client: Client, adapter: TransactionAdapter) => Promise<T>,
) => Promise<T>;

/**
 * The COMMIT of a transaction in which a statement failed is answered with a rollback, and not with an error. A library that
 * does not tell has to be asked before it commits: any statement fails then.
 */
export async function checkAlive(adapter: TransactionAdapter): Promise<void> {
  await adapter('select 1', []);
}
