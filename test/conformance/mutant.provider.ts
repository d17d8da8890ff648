import type {
  ChannelPlan,
  DeadLetterStore,
  Delivery,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  ProviderFactory,
  PublishFailure,
  Settlement,
  Subscriber,
  Subscription,
  SubscriptionHandle,
} from 'nestjs-eventing';
import type { ConformanceEnvironment } from 'nestjs-eventing/testing';

/** Breaks one property of a provider on purpose. What is left out stays as it is. One object for each broker area. */
export interface Mutation {
  context?(context: ProviderContext): ProviderContext;
  start?(provider: EventProvider, channels: readonly ChannelPlan[]): Promise<void>;
  publish?(messages: readonly OutgoingMessage[], provider: EventProvider): Promise<readonly PublishFailure[]>;
  subscription?(subscription: Subscription, context: ProviderContext): Subscription;
  /** @param original the delivery whose settlement is not broken */
  deliver?(delivery: Delivery, subscriber: Subscriber, original: Delivery): void;
  revoked?(sources: readonly string[], subscriber: Subscriber): Promise<void>;
  settle?(settlement: Settlement, delivery: Delivery, provider: EventProvider): Promise<void> | void;
  /** Told of each subscription, under its name, when it begins. */
  subscribed?(name: string, subscriber: Subscriber): void;
  handle?(handle: SubscriptionHandle): SubscriptionHandle;
  unsubscribed?(name: string, subscriber: Subscriber): void;
  deadLetters?(store: DeadLetterStore): DeadLetterStore;
  stop?(provider: EventProvider): Promise<void>;
  abilities?(abilities: EventProvider['abilities']): EventProvider['abilities'];
}

/** The environment with every provider of it broken in the same way. */
export function mutated(environment: ConformanceEnvironment, mutate: () => Mutation): ConformanceEnvironment {
  return {
    ...environment,
    async open() {
      const cluster = await environment.open();
      const mutation = mutate();
      return { ...cluster, provider: (instance) => mutantFactory(cluster.provider(instance), mutation) };
    },
  };
}

function mutantFactory(factory: ProviderFactory, mutation: Mutation): ProviderFactory {
  return {
    kind: factory.kind,
    create(given) {
      const context = mutation.context?.(given) ?? given;
      return new Mutant(factory.create(context), mutation, context);
    },
  };
}

class Mutant implements EventProvider {
  readonly kind: string;
  readonly abilities: EventProvider['abilities'];
  readonly binding: EventProvider['binding'];
  readonly deadLetters: DeadLetterStore;

  constructor(
    private readonly provider: EventProvider,
    private readonly mutation: Mutation,
    private readonly context: ProviderContext,
  ) {
    this.kind = provider.kind;
    this.abilities = mutation.abilities?.(provider.abilities) ?? provider.abilities;
    this.binding = provider.binding;
    this.deadLetters = mutation.deadLetters?.(provider.deadLetters) ?? provider.deadLetters;
  }

  start(channels: readonly ChannelPlan[]): Promise<void> {
    return this.mutation.start?.(this.provider, channels) ?? this.provider.start(channels);
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    return this.mutation.publish?.(messages, this.provider) ?? this.provider.publish(messages);
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    const { mutation, provider, context } = this;
    const name = `${context.service}.${subscription.name}`;
    const handle = await provider.subscribe(mutation.subscription?.(subscription, context) ?? subscription, {
      deliver: (delivery) => {
        const passed =
          mutation.settle === undefined
            ? delivery
            : copyOf(delivery, { settle: (settlement) => mutation.settle?.(settlement, delivery, provider) });
        if (mutation.deliver === undefined) subscriber.deliver(passed);
        else mutation.deliver(passed, subscriber, delivery);
      },
      revoked: (sources) => mutation.revoked?.(sources, subscriber) ?? subscriber.revoked(sources),
    });
    mutation.subscribed?.(name, subscriber);
    const changed = mutation.handle?.(handle) ?? handle;
    return {
      pause: () => changed.pause(),
      resume: () => changed.resume(),
      lag: () => changed.lag(),
      ...(changed.ended === undefined ? {} : { ended: changed.ended }),
      stop: () => {
        mutation.unsubscribed?.(name, subscriber);
        return changed.stop();
      },
    };
  }

  stop(): Promise<void> {
    return this.mutation.stop?.(this.provider) ?? this.provider.stop();
  }
}

/** The same delivery, but for what is said otherwise. */
export function copyOf(delivery: Delivery, changes: Partial<Delivery>): Delivery {
  const { channel, key, headers, body, time, source, position, attempt, notBefore } = delivery;
  const settle = (settlement: Settlement): Promise<void> | void => delivery.settle(settlement);
  const early = notBefore === undefined ? {} : { notBefore };
  return { channel, key, headers, body, time, source, position, attempt, ...early, settle, ...changes };
}
