import {
  type Abilities,
  type DeadLetter,
  type DeadLetterPage,
  type DeadLetterQuery,
  type Delivery,
  type EventProvider,
  type OutgoingMessage,
  type ProviderContext,
  type ProviderFactory,
  type PublishFailure,
  type Settlement,
  type Subscriber,
  type Subscription,
  type SubscriptionHandle,
  type WireBinding,
} from 'nestjs-eventing';

/** Headers of a well-formed event on the in-memory binding. */
export function ce(
  type: string,
  more: Readonly<Record<string, string | Uint8Array>> = {},
): Record<string, string | Uint8Array> {
  return {
    ce_specversion: '1.0',
    ce_id: 'e1',
    ce_source: '/foreign',
    ce_type: type,
    'content-type': 'application/json',
    ...more,
  };
}

export function letterOf(parts: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: 'l1',
    service: 'shop',
    listener: 'SendReceipt',
    channel: 'orders',
    reason: 'failed',
    error: { name: 'Error', message: 'no' },
    attempts: 5,
    firstFailedAt: 1,
    deadAt: 2,
    message: { key: 'k', headers: {}, body: Buffer.from('{}'), time: 0, position: '0@1' },
    ...parts,
  };
}

export const ABLE: Abilities = {
  order: 'cluster',
  durable: true,
  groups: true,
  perProcess: true,
  longestDefer: Number.MAX_SAFE_INTEGER,
  replay: true,
  transactions: false,
  largestMessage: 1_000_000,
};

export const BINDING: WireBinding = {
  attributePrefix: 'ce_',
  contentTypeHeader: 'content-type',
  carriesTime: true,
  carriesKey: true,
};

/** A provider that does what a test tells it, and writes down what the kernel asks of it. */
export class ScriptedProvider implements EventProvider {
  readonly kind = 'scripted';
  readonly binding = BINDING;
  readonly abilities: Abilities;
  readonly journal: string[] = [];
  readonly batches: (readonly OutgoingMessage[])[] = [];
  readonly subscribed: { readonly subscription: Subscription; readonly subscriber: Subscriber }[] = [];
  readonly letters: DeadLetter[] = [];
  context!: ProviderContext;
  onStart: () => Promise<void> = () => Promise.resolve();
  onPublish: (messages: readonly OutgoingMessage[]) => Promise<readonly PublishFailure[]> = () => Promise.resolve([]);
  onSubscribe: (subscription: Subscription) => Promise<void> = () => Promise.resolve();
  onAppend: () => Promise<void> = () => Promise.resolve();
  onLag: () => Promise<number> = () => Promise.resolve(0);
  onLeave: () => Promise<void> = () => Promise.resolve();
  onStop: () => Promise<void> = () => Promise.resolve();

  constructor(abilities: Partial<Abilities> = {}) {
    this.abilities = { ...ABLE, ...abilities };
  }

  readonly deadLetters = {
    append: async (letter: DeadLetter): Promise<void> => {
      await this.onAppend();
      this.letters.push(letter);
    },
    scan: (_query: DeadLetterQuery): Promise<DeadLetterPage> => Promise.resolve({ letters: this.letters }),
    remove: () => Promise.resolve(),
  };

  get factory(): ProviderFactory {
    return {
      kind: this.kind,
      create: (context) => {
        this.context = context;
        return this;
      },
    };
  }

  get messages(): OutgoingMessage[] {
    return this.batches.flat();
  }

  async start(channels: readonly { readonly name: string }[]): Promise<void> {
    this.journal.push(`start ${channels.map(({ name }) => name).join(',')}`);
    await this.onStart();
    this.context.onStatus('connected');
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    this.batches.push(messages);
    return this.onPublish(messages);
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    this.journal.push(`subscribe ${subscription.name}`);
    await this.onSubscribe(subscription);
    this.subscribed.push({ subscription, subscriber });
    return {
      pause: () => void this.journal.push(`pause ${subscription.name}`),
      resume: () => void this.journal.push(`resume ${subscription.name}`),
      lag: () => this.onLag(),
      stop: () => {
        this.journal.push(`leave ${subscription.name}`);
        return this.onLeave();
      },
    };
  }

  stop(): Promise<void> {
    this.journal.push('stop');
    return this.onStop();
  }

  /** Delivers to the only subscription there is, or to the one named. */
  deliver(parts: Partial<Delivery> & { readonly type?: string } = {}, to?: string): ScriptedDelivery {
    const found = this.subscribed.find(({ subscription }) => to === undefined || subscription.name === to);
    if (found === undefined) throw new Error('nobody has subscribed');
    const delivery = new ScriptedDelivery(found.subscription.channels[0] ?? '', parts, this.#position++);
    found.subscriber.deliver(delivery);
    return delivery;
  }

  get subscriber(): Subscriber {
    const [first] = this.subscribed;
    if (first === undefined) throw new Error('nobody has subscribed');
    return first.subscriber;
  }

  #position = 0;
}

/** A delivery that writes down how it was settled. */
export class ScriptedDelivery implements Delivery {
  readonly channel: string;
  readonly key: string | undefined;
  readonly headers: Delivery['headers'];
  readonly body: Uint8Array;
  readonly time: number;
  readonly source: string;
  readonly position: string;
  readonly attempt: number;
  readonly notBefore?: number;
  readonly settlements: Settlement[] = [];
  /** Throws or rejects where settling is to fail. */
  onSettle: (settlement: Settlement) => Promise<void> | void = () => undefined;

  constructor(channel: string, parts: Partial<Delivery> & { readonly type?: string }, position: number) {
    this.channel = parts.channel ?? channel;
    this.key = parts.key;
    this.headers = parts.headers ?? ce(parts.type ?? this.channel, { ce_id: `e${position}` });
    this.body = parts.body ?? Buffer.from('{}');
    this.time = parts.time ?? 0;
    this.source = parts.source ?? `${this.channel}/0`;
    this.position = parts.position ?? `0@${position}`;
    this.attempt = parts.attempt ?? 1;
    if (parts.notBefore !== undefined) this.notBefore = parts.notBefore;
  }

  settle(settlement: Settlement): Promise<void> | void {
    this.settlements.push(settlement);
    return this.onSettle(settlement);
  }

  get kinds(): string[] {
    return this.settlements.map(({ kind }) => kind);
  }

  get letter(): DeadLetter {
    const found = this.settlements.find((settlement) => settlement.kind === 'reject');
    if (found === undefined) throw new Error(`no dead letter: ${this.kinds.join(', ')}`);
    return found.letter;
  }
}
