import type { Row } from '../sql/database.js';
import { checkAlive, type TransactionAdapter, type TransactionRunner } from './transaction.adapter.js';

/** The transaction that Drizzle hands out, of its drivers node-postgres and PGlite. */
export interface DrizzleTransaction<Query> {
  execute(query: Query): PromiseLike<unknown>;
}

/** Drizzle's `sql`. */
export type DrizzleTag<Query> = (strings: TemplateStringsArray, ...values: unknown[]) => Query;

/** The transaction of Drizzle. @param sql Drizzle's own `sql`, by which values are bound */
export function fromDrizzle<Query>(tx: DrizzleTransaction<Query>, sql: DrizzleTag<Query>): TransactionAdapter {
  return async (text, values) => {
    const { strings, indices } = templateOf(text);
    const result = await tx.execute(sql(strings, ...indices.map((index) => values[index])));
    return (Array.isArray(result) ? result : (result as { readonly rows: unknown }).rows) as readonly Row[];
  };
}

/** Transactions of a Drizzle database. One statement more each: it does not tell of a commit that was a rollback. */
export function drizzleTransactions<Query, Transaction extends DrizzleTransaction<Query>>(
  database: { transaction<T>(work: (tx: Transaction) => Promise<T>): Promise<T> },
  sql: DrizzleTag<Query>,
): TransactionRunner<Transaction> {
  return (work) =>
    database.transaction(async (tx) => {
      // Without `onCommit`: what has `transaction` may be a transaction itself, and this one of its savepoints.
      const adapter = fromDrizzle(tx, sql);
      const result = await work(tx, adapter);
      await checkAlive(adapter);
      return result;
    });
}

/** `a $2 b $1` as the parts of a template, and which value stands behind each. */
function templateOf(text: string): { readonly strings: TemplateStringsArray; readonly indices: readonly number[] } {
  const pieces = text.split(/\$(\d+)/);
  const parts = pieces.filter((_, at) => at % 2 === 0);
  const indices = pieces.filter((_, at) => at % 2 === 1).map((digits) => Number(digits) - 1);
  return { strings: Object.assign(parts, { raw: parts }), indices };
}
