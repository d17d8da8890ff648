import type { Broker } from '../broker.js';
import type { PostgresAccess } from './postgres-options.js';

/** A real PostgreSQL for tests. */
export interface PostgresBroker extends Broker {
  readonly access: PostgresAccess;
}
