import type { Database } from '../sql/database.js';
import { connectionError } from '../postgres.errors.js';
import { checkSchema, migrateSchema } from './migrate.js';

/**
 * The schema as `topology` wants it: brought up to date, or only checked.
 * @throws EventingError with why the database cannot be used
 */
export async function prepareSchema(database: Database, schema: string, topology: 'create' | 'check'): Promise<void> {
  try {
    await (topology === 'create' ? migrateSchema(database, schema) : checkSchema(database, schema));
  } catch (error) {
    throw connectionError(error);
  }
}
