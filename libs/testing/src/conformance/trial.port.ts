import type {
  DeadLetter,
  Delivery,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  ProviderFactory,
  PublishFailure,
  Subscriber,
  Subscription,
  SubscriptionHandle,
} from 'nestjs-eventing';
import { randomUUID } from 'node:crypto';

/** What a case says of a message; the rest is filled in. */
export type MessagePlan = Pick<OutgoingMessage, 'channel'> & Partial<OutgoingMessage>;

/** What a case says of a subscription; the rest is filled in. */
export type SubscriptionPlan = Pick<Subscription, 'name' | 'channels'> & Partial<Subscription>;

/** One process that uses the provider without the kernel. */
export class TrialPort {
  readonly provider: EventProvider;
  readonly subscriptions: PortSubscription[] = [];
  #stopping: Promise<void> | undefined;

  constructor(
    factory: ProviderFactory,
    readonly context: ProviderContext,
  ) {
    this.provider = factory.create(context);
  }

  /** @returns the messages as they were published */
  async publish(plans: readonly MessagePlan[]): Promise<readonly OutgoingMessage[]> {
    const messages = plans.map(message);
    const failures = await this.provider.publish(messages);
    if (failures.length > 0) throw failures[0]?.error ?? new Error('publish() failed');
    return messages;
  }

  tryPublish(plans: readonly MessagePlan[]): Promise<readonly PublishFailure[]> {
    return this.provider.publish(plans.map(message));
  }

  /**
   * @param deliver what becomes of each delivery; without it they are kept and settled by nobody
   * @param letGo what revoked() waits for
   */
  async subscribe(
    plan: SubscriptionPlan,
    deliver: (delivery: Delivery) => void = () => undefined,
    letGo: () => Promise<void> = () => Promise.resolve(),
  ): Promise<PortSubscription> {
    const subscription = new PortSubscription(deliver, letGo);
    this.subscriptions.push(subscription);
    const handle = await this.provider.subscribe(
      {
        perProcess: false,
        durable: true,
        from: 'first-subscription',
        window: 256,
        ordered: true,
        transactional: false,
        ...plan,
      },
      subscription,
    );
    subscription.handle = handle;
    return subscription;
  }

  /** Every letter of its service, page by page. */
  async letters(limit = 100): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    let cursor: string | undefined;
    do {
      const page = await this.provider.deadLetters.scan({ limit, ...(cursor === undefined ? {} : { cursor }) });
      letters.push(...page.letters);
      cursor = page.cursor;
    } while (cursor !== undefined);
    return letters;
  }

  /** As the kernel does: subscriptions first. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await Promise.all(this.subscriptions.map(({ handle }) => handle?.stop()));
    await this.provider.stop();
  }
}

/** A subscriber that writes down what it gets. */
export class PortSubscription implements Subscriber {
  readonly deliveries: Delivery[] = [];
  /** Sources that moved away, in the order in which they did. */
  readonly lost: string[] = [];
  handle: SubscriptionHandle | undefined;

  constructor(
    private readonly decide: (delivery: Delivery) => void,
    private readonly letGo: () => Promise<void>,
  ) {}

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.decide(delivery);
  }

  revoked(sources: readonly string[]): Promise<void> {
    this.lost.push(...sources);
    return this.letGo();
  }

  /** Bodies as text, in the order of arrival. */
  get texts(): string[] {
    return this.deliveries.map(textOf);
  }
}

/** Takes each message at once. */
export function accepting(delivery: Delivery): void {
  void delivery.settle({ kind: 'accept' });
}

export function textOf({ body }: { readonly body: Uint8Array }): string {
  return Buffer.from(body).toString();
}

/** A letter about a delivery, as the kernel would write it. */
export function letterOf(delivery: Delivery, service: string, listener: string, now: number): DeadLetter {
  return {
    id: randomUUID(),
    service,
    listener,
    channel: delivery.channel,
    reason: 'failed',
    error: { name: 'Error', message: 'made by the conformance suite' },
    attempts: 1,
    firstFailedAt: now,
    deadAt: now,
    message: {
      key: delivery.key,
      headers: delivery.headers,
      body: delivery.body,
      time: delivery.time,
      position: delivery.position,
    },
  };
}

function message(plan: MessagePlan): OutgoingMessage {
  return {
    id: randomUUID(),
    key: undefined,
    headers: {},
    body: Buffer.alloc(0),
    time: Date.now(),
    durable: true,
    ...plan,
  };
}
