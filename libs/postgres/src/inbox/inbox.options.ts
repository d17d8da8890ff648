import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';
import type { TransactionRunner } from '../adapters/transaction.adapter.js';
import type { Outbox } from '../outbox/outbox.js';
import type { Database } from '../sql/database.js';
import { isSchemaName, SCHEMA_RULE } from '../sql/schema.name.js';

/** Options of an inbox. */
export interface InboxOptions<Client> {
  /** Where it lives: the database that its transactions are of. Opened at the start, closed at the end. */
  readonly database: () => Promise<Database>;
  /**
   * Opens the transactions in which listeners run: `pgTransactions(pool)`, `typeOrmTransactions(dataSource)`, `drizzleTransactions(db, sql)`,
   * or your own. @default those of `database`
   */
  readonly transactions?: TransactionRunner<Client>;
  /** @default 'eventing' */
  readonly schema?: string;
  /** Create what is missing of the schema, or only check that it is there. @default 'create' */
  readonly topology?: 'create' | 'check';
  /**
   * Relays what listeners send, of the same database. Without, it is kept with the record of the event and published before the event is
   * accepted. @default none
   */
  readonly outbox?: Outbox;
  /**
   * Milliseconds for which an event is known: one that comes again later is handled again. Longer than a broker may keep one that
   * was handled, and than a sender may send it again. @default 604_800_000, a week
   */
  readonly retention?: number;
}

export type ResolvedInboxOptions<Client> = Required<Omit<InboxOptions<Client>, 'transactions' | 'outbox'>> & {
  readonly transactions: TransactionRunner<Client> | undefined;
  readonly outbox: Outbox | undefined;
};

const LIMITS: NumberLimits = { retention: [1_000, Number.MAX_SAFE_INTEGER] };
const WEEK = 7 * 86_400_000;

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveInboxOptions<Client>(options: InboxOptions<Client>): ResolvedInboxOptions<Client> {
  const resolved: ResolvedInboxOptions<Client> = {
    database: options.database,
    transactions: options.transactions,
    schema: options.schema ?? 'eventing',
    topology: options.topology ?? 'create',
    outbox: options.outbox,
    retention: options.retention ?? WEEK,
  };
  const faults = optionFaults(options, resolved, LIMITS);
  for (const name of ['database', 'transactions'] as const)
    if (typeof resolved[name] !== 'function' && (name === 'database' || resolved[name] !== undefined))
      faults.push(`\`${name}\` must be a function`);
  if (!isSchemaName(resolved.schema)) faults.push(`\`schema\` cannot be used: ${SCHEMA_RULE}`);
  if (!['create', 'check'].includes(resolved.topology)) faults.push('`topology` must be create or check');
  if (resolved.outbox !== undefined && resolved.outbox.options.schema !== resolved.schema)
    faults.push(
      `\`outbox\` is of the schema ${resolved.outbox.options.schema}, and the inbox of ${resolved.schema}: use one`,
    );
  if (faults.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `The inbox cannot be used: ${faults.join('; ')}.`);
  return resolved;
}
