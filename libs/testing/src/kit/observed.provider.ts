import type {
  Abilities,
  ChannelPlan,
  DeadLetterStore,
  Delivery,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  PublishFailure,
  RawHeaders,
  Settlement,
  Subscriber,
  Subscription,
  SubscriptionHandle,
  WireBinding,
} from 'nestjs-eventing';
import type { ApplicationWatch } from './application.watch.js';
import type { DeliveryRecord } from './delivery.record.js';

/** The in-memory provider of an application under test: everything passes here on its way in and out, and is written down. */
export class ObservedProvider implements EventProvider {
  readonly kind: string;
  readonly abilities: Abilities;
  readonly binding: WireBinding;
  readonly deadLetters: DeadLetterStore;

  constructor(
    private readonly inner: EventProvider,
    private readonly context: ProviderContext,
    private readonly watch: ApplicationWatch,
  ) {
    const { kind, abilities, binding, deadLetters } = inner;
    this.kind = kind;
    this.abilities = abilities;
    this.binding = binding;
    this.deadLetters = {
      append: async (letter) => {
        watch.mourned(context.name, letter);
        await deadLetters.append(letter);
        watch.stored(letter);
      },
      scan: (query) => deadLetters.scan(query),
      remove: async (ids) => {
        await deadLetters.remove(ids);
        watch.removed(ids);
      },
    };
  }

  start(channels: readonly ChannelPlan[]): Promise<void> {
    return this.inner.start(channels);
  }

  async publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const failures = await this.inner.publish(messages);
    // The broker is in this process: where it keeps its answer, it has stored the message.
    const lost = new Set(failures.filter(({ indeterminate }) => !indeterminate).map(({ index }) => index));
    // What goes to one subscription alone is no news: it was published before, and is redriven.
    const stored = messages.filter(({ to }, index) => to === undefined && !lost.has(index));
    await this.watch.published(stored);
    return failures;
  }

  subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    const { context, watch } = this;
    return this.inner.subscribe(subscription, {
      deliver: (delivery) => {
        const record = watch.arrived(context.name, subscription, delivery);
        subscriber.deliver(new ObservedDelivery(delivery, record, watch));
      },
      revoked: async (sources) => {
        await subscriber.revoked(sources);
        watch.interrupted(context.name, ({ source }) => sources.includes(source));
      },
    });
  }

  stop(): Promise<void> {
    return this.inner.stop();
  }
}

class ObservedDelivery implements Delivery {
  constructor(
    private readonly inner: Delivery,
    private readonly record: DeliveryRecord,
    private readonly watch: ApplicationWatch,
  ) {}

  get channel(): string {
    return this.inner.channel;
  }
  get key(): string | undefined {
    return this.inner.key;
  }
  get headers(): RawHeaders {
    return this.inner.headers;
  }
  get body(): Uint8Array {
    return this.inner.body;
  }
  get time(): number {
    return this.inner.time;
  }
  get source(): string {
    return this.inner.source;
  }
  get position(): string {
    return this.inner.position;
  }
  get attempt(): number {
    return this.inner.attempt;
  }
  get notBefore(): number | undefined {
    return this.inner.notBefore;
  }

  settle(settlement: Settlement): Promise<void> | void {
    const { inner, record } = this;
    // One that was taken away, or came again, settles nothing any more.
    const counts = record.turn === inner;
    const settled = inner.settle(settlement);
    if (!(settled instanceof Promise)) return counts ? this.watch.settled(record, settlement) : undefined;
    return settled.then(() => (counts ? this.watch.settled(record, settlement) : undefined));
  }
}
