import type { Row } from '../sql/database.js';
import { checkAlive, CommitCalls, type TransactionAdapter, type TransactionRunner } from './transaction.adapter.js';

/** TypeORM's `EntityManager` or `QueryRunner`. */
export interface TypeOrmQueryable {
  query(sql: string, parameters?: unknown[]): Promise<unknown>;
}

/** The transaction of TypeORM's `EntityManager` or `QueryRunner`. */
export function fromTypeOrm(manager: TypeOrmQueryable): TransactionAdapter {
  return async (sql, values) => {
    const result = await manager.query(sql, [...values]);
    if (!Array.isArray(result)) return [];
    // Of an UPDATE or DELETE it gives [rows, count].
    const [rows] = result as unknown[];
    return (Array.isArray(rows) ? rows : result) as readonly Row[];
  };
}

/** Transactions of TypeORM's `DataSource`. One statement more each: it does not tell of a commit that was a rollback. */
export function typeOrmTransactions<Manager extends TypeOrmQueryable>(dataSource: {
  readonly manager: Manager;
  transaction<T>(work: (manager: Manager) => Promise<T>): Promise<T>;
}): TransactionRunner<Manager> {
  return async (work) => {
    const commit = new CommitCalls();
    const result = await dataSource.transaction(async (manager) => {
      const adapter = fromTypeOrm(manager);
      const given = await work(manager, commit.of(adapter));
      await checkAlive(adapter);
      return given;
    });
    commit.done();
    return result;
  };
}
