import { once } from 'node:events';
import type { INestApplicationContext, Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { EventingModule } from 'nestjs-eventing';
import { Outbox, pgTransactions, PostgresInbox, PostgresOutboxModule, serverDatabase } from 'nestjs-eventing/postgres';
import { HistoryWriter } from 'nestjs-eventing/testing';
import { Pool } from 'pg';
import { watchForStalls } from './stall.watch.js';
import { setup } from './worker.argument.js';
import { providerOfSystem } from './worker.provider.js';
import { LEASE, SERVICE } from './worker.setup.js';

/** Resolves when the process is asked to end. Listened for from the first moment on. */
export const asked = once(process, 'SIGTERM').then(() => undefined);

export const history = new HistoryWriter(setup.history, setup.name);
watchForStalls(history, setup.name);

const connection = { connectionString: setup.database, connectionTimeout: 2_000 };

/** Of business transactions. */
export const pool = new Pool({
  connectionString: setup.database,
  max: 20,
  connectionTimeoutMillis: 5_000,
  query_timeout: 15_000,
});
// A connection that breaks while nobody uses it.
pool.on('error', () => undefined);

export const transactions = pgTransactions(pool, { prepare: true });

export const outbox = new Outbox({
  database: serverDatabase(connection),
  lease: LEASE,
  pollInterval: 200,
  batch: 100,
  // What was sent is looked at when all is over.
  retention: 3_600_000,
});

/** On Kafka what listeners send goes with the position, in a transaction of the broker; elsewhere through the outbox. */
export const inbox = new PostgresInbox({
  database: serverDatabase(connection),
  transactions,
  ...(setup.system === 'kafka' ? {} : { outbox }),
});

/** A Nest application as a user would write it. */
export function startApplication(providers: Type[]): Promise<INestApplicationContext> {
  class WorkerModule {}
  return NestFactory.createApplicationContext(
    {
      module: WorkerModule,
      imports: [
        EventingModule.forRoot({ service: SERVICE, instance: setup.name, provider: providerOfSystem(), inbox }),
        PostgresOutboxModule.forRoot(outbox),
      ],
      providers,
    },
    { abortOnError: false },
  );
}
