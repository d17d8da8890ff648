import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';
import type { Database } from '../sql/database.js';
import { isSchemaName, SCHEMA_RULE } from '../sql/schema.name.js';

/** Options of a log. */
export interface EventLogOptions {
  /** Where outbox and inbox live. Opened with the first question, closed at the end. */
  readonly database: () => Promise<Database>;
  /** Theirs. @default 'eventing' */
  readonly schema?: string;
  /**
   * Milliseconds for which failures are kept: dead letters of the service, and events that the outbox gave up; older ones are deleted for
   * good, every hour. 0: until somebody sends them again or throws them away. @default 0
   */
  readonly failedRetention?: number;
}

const LIMITS: NumberLimits = { failedRetention: [0, Number.MAX_SAFE_INTEGER] };

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveEventLogOptions(options: EventLogOptions): Required<EventLogOptions> {
  const resolved = {
    database: options.database,
    schema: options.schema ?? 'eventing',
    failedRetention: options.failedRetention ?? 0,
  };
  const faults = optionFaults(options, resolved, LIMITS);
  if (typeof resolved.database !== 'function') faults.push('`database` must be a function that opens one');
  if (!isSchemaName(resolved.schema)) faults.push(`\`schema\` cannot be used: ${SCHEMA_RULE}`);
  if (faults.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `The event log cannot be used: ${faults.join('; ')}.`);
  return resolved;
}
