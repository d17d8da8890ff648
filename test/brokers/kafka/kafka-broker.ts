import type { Broker } from '../broker.js';
import type { KafkaAccess } from './kafka-options.js';

/** A real Kafka for tests. */
export interface KafkaBroker extends Broker {
  /** What a client needs to connect: `new Kafka({ ...broker.access })`. */
  readonly access: KafkaAccess;
}
