import type { Row } from '../sql/database.js';
import { checkAlive, CommitCalls, type TransactionAdapter, type TransactionRunner } from './transaction.adapter.js';

/** The client that Prisma hands out in an interactive transaction. */
export interface PrismaTransaction {
  $queryRawUnsafe(sql: string, ...values: unknown[]): PromiseLike<unknown>;
}

/** Of an interactive transaction, in milliseconds. */
export interface PrismaTransactionOptions {
  /** For which it waits for a connection. @default Prisma's own, 2_000 */
  readonly maxWait?: number;
  /** For which it may last: give it what a listener takes at most. @default Prisma's own, 5_000 */
  readonly timeout?: number;
}

/** The transaction of Prisma, on PostgreSQL. */
export function fromPrisma(tx: PrismaTransaction): TransactionAdapter {
  // Its name warns of texts that are put together; ours are constant, and values are bound.
  return async (text, values) => (await tx.$queryRawUnsafe(text, ...values)) as readonly Row[];
}

/** Transactions of a Prisma client. One statement more each: it does not tell of a commit that was a rollback. */
export function prismaTransactions<Transaction extends PrismaTransaction>(
  client: {
    $transaction<T>(work: (tx: Transaction) => Promise<T>, options?: PrismaTransactionOptions): Promise<T>;
  },
  options: PrismaTransactionOptions = {},
): TransactionRunner<Transaction> {
  return async (work) => {
    const commit = new CommitCalls();
    const result = await client.$transaction(async (tx) => {
      const adapter = fromPrisma(tx);
      const given = await work(tx, commit.of(adapter));
      await checkAlive(adapter);
      return given;
    }, options);
    commit.done();
    return result;
  };
}
