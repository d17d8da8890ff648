import type { Clock } from '../clock.js';
import type { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import type { DeliveryScheduler } from './delivery.scheduler.js';
import type { IdleWatch } from './idle.watch.js';
import type { MemoryDeadLetters } from './memory.dead-letters.js';
import type { ResolvedBrokerOptions } from './memory.options.js';
import type { Leaving } from './message.intake.js';

/** What the rooms of one broker share. */
export interface BrokerParts {
  readonly options: ResolvedBrokerOptions;
  readonly clock: Clock;
  readonly scheduler: DeliveryScheduler;
  readonly idle: IdleWatch;
  /** Stores all of them while one leaves, or none and returns why. */
  storeTogether(messages: readonly OutgoingMessage[], service: string, leaving: Leaving): EventingError | undefined;
  /** The store of a service, made when first asked for. */
  deadLetters(service: string): MemoryDeadLetters;
}
