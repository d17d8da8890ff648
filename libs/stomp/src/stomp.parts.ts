import type { DeadLetterStore, EventingError, ProviderContext } from 'nestjs-eventing';
import type { BrokerManagement } from './broker.management.js';
import type { BrokerTopology } from './broker.topology.js';
import type { PublishQueue } from './publish.queue.js';
import type { ResolvedStompOptions } from './stomp.options.js';

/** What the parts of one provider share. */
export interface ProviderParts {
  readonly options: ResolvedStompOptions;
  readonly context: ProviderContext;
  readonly management: BrokerManagement;
  readonly topology: BrokerTopology;
  readonly publisher: PublishQueue;
  readonly deadLetters: DeadLetterStore;
  readonly status: ConnectionStatus;
}

/** Connected is who has all of its connections. */
export interface ConnectionStatus {
  up(who: object): void;
  down(who: object, cause: EventingError): void;
  /** It is stopped, and nobody waits for it. */
  forget(who: object): void;
}
