import type { Broker } from '../broker.js';
import type { RabbitMqAccess } from './rabbitmq-options.js';

/** A real RabbitMQ for tests. */
export interface RabbitMqBroker extends Broker {
  readonly access: RabbitMqAccess;
  /** Runs rabbitmqctl on it and gives what it prints: `control('close_all_connections', 'for a test')`. */
  control(...args: string[]): Promise<string>;
}
