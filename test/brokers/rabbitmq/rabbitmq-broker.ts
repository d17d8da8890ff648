import type { Broker } from '../broker.js';
import type { RabbitMqAccess } from './rabbitmq-options.js';

/** A real RabbitMQ for tests. */
export interface RabbitMqBroker extends Broker {
  readonly access: RabbitMqAccess;
  /** Runs rabbitmqctl on it and gives what it prints: `control('close_all_connections', 'for a test')`. */
  control(...args: string[]): Promise<string>;
}

/**
 * Writes what it knows of its queues to disk, which it does by itself some seconds later (3.10). A quorum queue younger than that does
 * not come back from a `kill -9` of the only node, and takes nothing until it is deleted.
 */
export async function writeQueuesDown({ control }: Pick<RabbitMqBroker, 'control'>): Promise<void> {
  await control('eval', '[ok = dets:sync(T) || T <- dets:all()], mnesia:sync_log(), mnesia:dump_log().');
}
