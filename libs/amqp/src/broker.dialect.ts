import type { Abilities, DeadLetterStore, ProviderContext, Subscription } from 'nestjs-eventing';
import type { AmqpConnection } from './amqp.connection.js';
import type { ResolvedAmqpOptions } from './amqp.options.js';
import type { PublishQueue } from './publish.queue.js';

/**
 * What brokers do not agree on, though all speak AMQP 1.0: how addresses are spelled, how queues are made and asked about, and where
 * dead letters can be read without being taken away. Connections, sending, receiving and settling are the same for all.
 */
export interface BrokerDialect {
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;

  /** Throws EVT_INVALID_OPTIONS where it is not the kind of broker that the options name. Of each new connection. */
  recognize(connection: AmqpConnection): void;

  /** The connection for sending, over which the broker is asked about queues, too. It may have forgotten everything. */
  up(connection: AmqpConnection): void;
  down(): void;

  /** Sees to what a service needs from its start on. Rejects with EVT_TOPOLOGY or EVT_AUTHENTICATION for what waiting will not mend. */
  prepareService(channels: readonly string[]): Promise<void>;

  /** What a link is opened to that sends the events of a channel. */
  targetOf(channel: string): string;

  /** The same for one listener alone. Rejects with EVT_PUBLISH_FAILED where it has no queue. */
  targetsOf(channel: string, listener: string): Promise<readonly string[]>;

  /** Sees that a target can be sent to, before the first link to it of a connection. */
  prepareTarget(target: string): Promise<void>;

  /**
   * Where the broker gave a message back that was sent to a target: resolves where that is as it should be, since nobody listens, and
   * rejects with why it is not.
   */
  unrouted(target: string): Promise<void>;

  /** The queue of a subscription for one of its channels. Throws EVT_TOPOLOGY for a name that no queue can have. */
  queueOf(channel: string, subscription: Subscription): ListenerQueue;
}

/** A queue that a subscription reads. */
export interface ListenerQueue {
  readonly name: string;
  readonly channel: string;
  /** What links are opened to, to read it, and to send to it alone. */
  readonly address: string;

  /** Makes it, or under `topology: 'check'` looks for it. Before each link to it. */
  declare(): Promise<void>;

  /** Rejects where it is not as planned. After the link, before the first delivery. @param refused why there is no link */
  verify(refused: Error | undefined): Promise<void>;

  /** Messages stored and not settled. @param here delivered to this process and not settled, as the broker may not count them */
  count(here: number): Promise<number>;

  /** Its reader has stopped for good. */
  left(): Promise<void>;
}

/** What a dialect is made of. */
export interface DialectParts {
  readonly options: ResolvedAmqpOptions;
  readonly context: ProviderContext;
  readonly publisher: PublishQueue;
  /** The connection for reading, while there is one. */
  reading(): AmqpConnection | undefined;
}
