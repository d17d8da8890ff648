export { embedded, migrate, postgres, type PostgresFactory } from './postgres.js';
export type { EmbeddedOptions, LogOptions, LogRetention, PostgresOptions } from './postgres.options.js';
export type { Database, QueryResult, Row, Sql } from './sql/database.js';
export { serverDatabase, type ServerDatabaseOptions } from './sql/server.recipe.js';

export type { TransactionAdapter, TransactionRunner } from './adapters/transaction.adapter.js';
export {
  databaseTransactions,
  fromPg,
  type PgPoolClient,
  type PgQueryable,
  pgTransactions,
} from './adapters/pg.adapter.js';
export { fromTypeOrm, type TypeOrmQueryable, typeOrmTransactions } from './adapters/typeorm.adapter.js';
export {
  type DrizzleTag,
  type DrizzleTransaction,
  drizzleTransactions,
  fromDrizzle,
} from './adapters/drizzle.adapter.js';
export {
  fromPrisma,
  type PrismaTransaction,
  type PrismaTransactionOptions,
  prismaTransactions,
} from './adapters/prisma.adapter.js';

export { Outbox, type OutboxDepth, type OutboxHome } from './outbox/outbox.js';
export { type OutboxAsyncOptions, PostgresOutboxModule } from './outbox/outbox.module.js';
export type { OutboxOptions } from './outbox/outbox.options.js';
export { OutboxTransaction } from './outbox/outbox.transaction.js';
export type { ParkedFilter, ParkedMessage, ParkedPage, ParkedQuery } from './outbox/parked.message.js';

export { PostgresEventLog } from './event-log/postgres.event-log.js';
export type { EventLogOptions } from './event-log/event-log.options.js';

export { PostgresInbox } from './inbox/postgres.inbox.js';
export type { InboxOptions } from './inbox/inbox.options.js';
