import { EventingError } from 'nestjs-eventing';

const NAME = /^[a-z_][a-z0-9_]{0,47}$/;

/** Whether it can be the name of our schema: short enough that what is named after it fits into PostgreSQL's 63 bytes. */
export function isSchemaName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name) && !name.startsWith('pg_');
}

/**
 * The schema as it stands in statements, quoted. The one place where text becomes part of a statement: all else is bound.
 * Throws EVT_INVALID_OPTIONS for a name that is not plain.
 */
export function quotedSchema(name: string): string {
  if (isSchemaName(name)) return `"${name}"`;
  throw new EventingError(
    'EVT_INVALID_OPTIONS',
    `The schema cannot be called "${String(name).slice(0, 100)}": ${SCHEMA_RULE}.`,
  );
}

export const SCHEMA_RULE = 'use at most 48 of a to z, 0 to 9 and _, beginning with neither a digit nor pg_';
