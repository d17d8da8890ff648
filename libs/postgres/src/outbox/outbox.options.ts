import { type BackoffOptions, BackoffPolicy, EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';
import type { Database } from '../sql/database.js';
import { isSchemaName, SCHEMA_RULE } from '../sql/schema.name.js';

/** Options of an outbox. Times in milliseconds, sizes in bytes. */
export interface OutboxOptions {
  /** Where it lives: the database that the transactions are of. Opened at the start, closed at the end. */
  readonly database: () => Promise<Database>;
  /** @default 'eventing' */
  readonly schema?: string;
  /**
   * Whether this process publishes what was stored. Of all that do, one at a time does it for each provider. Without, others must.
   * @default true
   */
  readonly relay?: boolean;
  /**
   * How a relay learns of new messages: by `notify` the process that stored them tells it, some milliseconds after the commit and
   * outside of the transaction, by one short statement for all that commit together; `poll` leaves it to the next look. Of a transaction
   * that commits later than `pollInterval` after its last send nobody is told. @default 'notify'
   */
  readonly wake?: 'notify' | 'poll';
  /** How often a relay looks all the same. @default 1_000 */
  readonly pollInterval?: number;
  /** For which a relay that died is waited for, until another takes over. @default 15_000 */
  readonly lease?: number;
  /** Messages published together. @default 500 */
  readonly batch?: number;
  /** Bodies in memory at one time; a single one may be larger. @default 8_388_608 */
  readonly maxBatchBytes?: number;
  /**
   * Messages of one key that are handed to the broker together. Above 1 a key is quicker, and if the broker refuses one of them the
   * others may be stored before it. @default 1
   */
  readonly maxInFlightPerKey?: number;
  /** How often a message that the broker refuses is sent, and with which pauses; its key waits. @default 5, exponential from 200 ms */
  readonly retry?: { readonly attempts?: number; readonly backoff?: BackoffOptions };
  /** Whether later messages of a key wait behind a parked one, or go on without it. @default 'wait' */
  readonly parkedKeys?: 'wait' | 'continue';
  /** For which messages are kept after they were published, as a log; 0: not at all. @default 0 */
  readonly retention?: number;
  /** Events of one transaction that may wait for being stored. @default 65_536 */
  readonly maxStaged?: number;
}

export interface ResolvedOutboxOptions extends Required<Omit<OutboxOptions, 'retry'>> {
  readonly retry: { readonly attempts: number; readonly backoff: BackoffPolicy };
}

const LIMITS: NumberLimits = {
  pollInterval: [10, 3_600_000],
  lease: [1_000, 3_600_000],
  batch: [1, 10_000],
  maxBatchBytes: [1_024, 1_073_741_824],
  maxInFlightPerKey: [1, 10_000],
  retention: [0, Number.MAX_SAFE_INTEGER],
  maxStaged: [1, 10_000_000],
};
const CHOICES = { wake: ['notify', 'poll'], parkedKeys: ['wait', 'continue'], relay: [true, false] } as const;

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveOutboxOptions(options: OutboxOptions): ResolvedOutboxOptions {
  const { attempts = 5, backoff } = options.retry ?? {};
  const resolved: ResolvedOutboxOptions = {
    database: options.database,
    schema: options.schema ?? 'eventing',
    relay: options.relay ?? true,
    wake: options.wake ?? 'notify',
    pollInterval: options.pollInterval ?? 1_000,
    lease: options.lease ?? 15_000,
    batch: options.batch ?? 500,
    maxBatchBytes: options.maxBatchBytes ?? 8_388_608,
    maxInFlightPerKey: options.maxInFlightPerKey ?? 1,
    retry: { attempts, backoff: new BackoffPolicy(backoff) },
    parkedKeys: options.parkedKeys ?? 'wait',
    retention: options.retention ?? 0,
    maxStaged: options.maxStaged ?? 65_536,
  };
  const faults = optionFaults(options, resolved, LIMITS);
  if (typeof resolved.database !== 'function') faults.push('`database` must be a function that opens one');
  if (!isSchemaName(resolved.schema)) faults.push(`\`schema\` cannot be used: ${SCHEMA_RULE}`);
  for (const [name, choices] of Object.entries(CHOICES)) {
    const value: unknown = resolved[name as keyof typeof CHOICES];
    if (!(choices as readonly unknown[]).includes(value)) faults.push(`\`${name}\` must be ${choices.join(' or ')}`);
  }
  if (!Number.isInteger(attempts) || attempts < 1) faults.push('`retry.attempts` must be a whole number of at least 1');
  faults.push(...resolved.retry.backoff.problems.map((problem) => `\`retry\`: ${problem}`));
  if (faults.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `The outbox cannot be used: ${faults.join('; ')}.`);
  return resolved;
}
