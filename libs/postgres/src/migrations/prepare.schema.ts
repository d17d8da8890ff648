import { Alarm, backoff, type Clock, type ProviderLogger } from 'nestjs-eventing';
import { connectionError, hopeless, mayPass } from '../postgres.errors.js';
import type { Database } from '../sql/database.js';
import { checkSchema, type LockWaiting, migrateSchema } from './migrate.js';
import { migrations } from './migrations.js';

/** How a database is waited for that is away. */
export interface Waiting {
  /** Who waits, for people: `The outbox`. */
  readonly who: string;
  /** Milliseconds. */
  readonly patience: number;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
  /** Woken when nobody waits any more; `ended` is true by then. */
  readonly alarm?: Alarm;
  readonly ended?: () => boolean;
}

/**
 * The schema as `topology` wants it: brought up to date, or only checked. A database that is away is waited for as brokers are.
 * @param waiting @default it is tried once
 * @throws EventingError with why the database cannot be used
 */
export async function prepareSchema(
  database: Database,
  schema: string,
  topology: 'create' | 'check',
  waiting?: Waiting,
): Promise<void> {
  const deadline = waiting === undefined ? 0 : waiting.clock.now() + waiting.patience;
  const alarm = waiting?.alarm ?? new Alarm();
  for (let attempt = 1; ; attempt++) {
    try {
      await (topology === 'create'
        ? migrateSchema(database, schema, migrations, locksOf(waiting))
        : checkSchema(database, schema));
      return;
    } catch (error) {
      const refused = connectionError(error);
      if (waiting === undefined || !isAway(error) || waiting.ended?.() === true || waiting.clock.now() >= deadline)
        throw refused;
      if (attempt === 1) waiting.logger.warn(`${waiting.who} waits for its database: ${refused.message}`);
    }
    await alarm.sleep(backoff(attempt));
  }
}

function locksOf(waiting: Waiting | undefined): LockWaiting {
  if (waiting === undefined) return {};
  const { logger, alarm, ended } = waiting;
  return { warn: (text) => logger.warn(text), ...(alarm && { alarm }), ...(ended && { ended }) };
}

/** Migrations tell the cause of what failed in them. A server that refuses is not away. */
function isAway(error: unknown): boolean {
  if (hopeless(error) !== undefined) return false;
  return mayPass(error) || (error instanceof Error && mayPass(error.cause));
}
