import { EventingError } from '../errors/eventing.error.js';
import type { Abilities } from '../provider/abilities.js';
import type {
  ChannelPlan,
  DeadLetterStore,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  ProviderFactory,
  PublishFailure,
  Subscriber,
  Subscription,
  SubscriptionHandle,
} from '../provider/event-provider.js';
import type { WireBinding } from '../wire/wire-format.js';
import { MemoryBroker } from './memory.broker.js';
import { MemoryConnection } from './memory.connection.js';
import { type MemoryOptions, resolveBrokerOptions } from './memory.options.js';

/**
 * Events inside the process, by a broker that keeps what Kafka keeps: groups, key order, redelivery, positions. The default of
 * `EventingModule.forRoot()`. Without `broker` each application gets its own, on the application's clock.
 *
 * Throws EVT_INVALID_OPTIONS, naming every option that cannot be used.
 */
export function memory(options: MemoryOptions = {}): ProviderFactory {
  const { broker: shared, ...own } = options;
  if (shared === undefined) resolveBrokerOptions(own);
  else if (Object.keys(own).length > 0) {
    throw new EventingError(
      'EVT_INVALID_OPTIONS',
      `memory(): ${Object.keys(own).join(', ')} cannot be given beside broker: give it to new MemoryBroker()`,
    );
  }
  return {
    kind: 'memory',
    create(context) {
      const broker = shared ?? new MemoryBroker({ clock: context.clock, ...own });
      return new MemoryProvider(broker, context, shared !== undefined);
    },
  };
}

/** The in-memory provider; made by `memory()`. */
export class MemoryProvider implements EventProvider {
  readonly kind = 'memory';
  readonly abilities: Abilities;
  readonly binding: WireBinding = {
    attributePrefix: 'ce_',
    contentTypeHeader: 'content-type',
    carriesTime: true,
    carriesKey: true,
  };
  readonly deadLetters: DeadLetterStore;
  private readonly connection: MemoryConnection;

  /** @param isShared `topology: 'check'` is refused what is missing; nobody else could make a channel of a broker of its own */
  constructor(
    readonly broker: MemoryBroker,
    private readonly context: ProviderContext,
    private readonly isShared: boolean,
  ) {
    const { retain, largestMessage } = broker.options;
    this.abilities = {
      order: 'cluster',
      durable: 'process',
      groups: true,
      perProcess: true,
      longestDefer: Number.MAX_SAFE_INTEGER,
      replay: retain > 0,
      boundedReplay: retain > 0,
      // One process, one step: what settles a message stores its outputs.
      transactions: true,
      sequencedDeadLetters: true,
      largestMessage,
    };
    this.connection = new MemoryConnection(broker, context);
    this.deadLetters = broker.deadLettersFor(context.service, () => this.connection.reach());
  }

  async start(channels: readonly ChannelPlan[]): Promise<void> {
    await this.connection.open();
    const names = channels.map(({ name }) => name);
    const missing = names.filter((name) => !this.broker.hasChannel(name));
    if (missing.length > 0 && this.isShared && this.context.topology === 'check') {
      const quoted = missing.map((name) => `"${name}"`).join(', ');
      throw new EventingError(
        'EVT_TOPOLOGY',
        `the in-memory broker has no channel ${quoted}: call broker.createChannels(), or start with topology: 'create'`,
      );
    }
    this.broker.createChannels(...names);
  }

  /** Keeps the messages as they are: neither headers nor bytes may be changed after the call. */
  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    return this.connection.publish(messages);
  }

  subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    return this.connection.subscribe(subscription, subscriber);
  }

  async stop(): Promise<void> {
    this.connection.close();
  }
}
