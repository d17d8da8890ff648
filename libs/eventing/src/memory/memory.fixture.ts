import { VirtualClock } from '../../../testing/src/virtual.clock.js';
import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type {
  Delivery,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  Settlement,
  Subscriber,
  Subscription,
  SubscriptionHandle,
} from '../provider/event-provider.js';
import { MemoryBroker } from './memory.broker.js';
import type { MemoryBrokerOptions } from './memory.options.js';
import { memory } from './memory.provider.js';

export const ACCEPT: Settlement = { kind: 'accept' };
export const RELEASE: Settlement = { kind: 'release' };

const utf8 = new TextEncoder();
const text = new TextDecoder();

export function textOf(delivery: Delivery): string {
  return text.decode(delivery.body);
}

export function message(body: string, parts: Partial<OutgoingMessage> = {}): OutgoingMessage {
  return {
    id: body,
    channel: 'orders',
    key: 'k',
    headers: {},
    body: utf8.encode(body),
    time: 7,
    durable: true,
    ...parts,
  };
}

export function letterFor(delivery: Delivery, id: string): DeadLetter {
  return {
    id,
    service: 'shop',
    listener: 'Receipt',
    channel: delivery.channel,
    reason: 'failed',
    error: { name: 'Error', message: 'no' },
    attempts: 5,
    firstFailedAt: 1,
    deadAt: 2,
    message: {
      key: delivery.key,
      headers: delivery.headers,
      body: delivery.body,
      time: delivery.time,
      position: delivery.position,
    },
  };
}

/** Writes down what it gets. Accepts at once, unless it is told to hold. */
export class FakeSubscriber implements Subscriber {
  readonly deliveries: Delivery[] = [];
  readonly revocations: (readonly string[])[] = [];
  /** What revocation waits for. */
  onRevoked: () => Promise<void> = () => Promise.resolve();
  private waiters: { readonly count: number; readonly resolve: () => void }[] = [];

  constructor(private readonly onDeliver: (delivery: Delivery) => void = (delivery) => void delivery.settle(ACCEPT)) {}

  static holding(): FakeSubscriber {
    return new FakeSubscriber(() => undefined);
  }

  get texts(): string[] {
    return this.deliveries.map(textOf);
  }

  get attempts(): number[] {
    return this.deliveries.map((delivery) => delivery.attempt);
  }

  /** Counted from the end with a negative index. */
  at(index: number): Delivery {
    const delivery = this.deliveries.at(index);
    if (delivery === undefined) throw new Error(`no delivery ${index} among ${this.deliveries.length}`);
    return delivery;
  }

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDeliver(delivery);
    this.waiters = this.waiters.filter(({ count, resolve }) => {
      if (this.deliveries.length < count) return true;
      resolve();
      return false;
    });
  }

  /** Resolves when it has got so many in all. */
  received(count: number): Promise<void> {
    if (this.deliveries.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.waiters.push({ count, resolve }));
  }

  revoked(sources: readonly string[]): Promise<void> {
    this.revocations.push(sources);
    return this.onRevoked();
  }
}

/** A broker on a virtual clock, and applications on it. */
export class World {
  readonly clock = new VirtualClock();
  readonly broker: MemoryBroker;

  constructor(options: MemoryBrokerOptions = {}) {
    this.broker = new MemoryBroker({ clock: this.clock, ...options });
  }

  async application(instance = 'a', parts: Partial<ProviderContext> = {}): Promise<EventProvider> {
    const provider = memory({ broker: this.broker }).create(contextOf(instance, { clock: this.clock, ...parts }));
    await provider.start([{ name: 'orders', durable: true }]);
    return provider;
  }

  /** Lets everything happen that can without time passing. */
  rest(): Promise<void> {
    return this.clock.advance(0);
  }
}

export function contextOf(instance: string, parts: Partial<ProviderContext> = {}): ProviderContext {
  const silent = (): void => undefined;
  return {
    name: 'default',
    service: 'shop',
    instance,
    topology: 'create',
    publishTimeout: 30_000,
    rebalanceDrain: 5_000,
    maxBodyBytes: 1024,
    clock: new VirtualClock(),
    logger: { log: silent, warn: silent, error: silent, debug: silent },
    onStatus: silent,
    ...parts,
  };
}

export function subscribe(
  provider: EventProvider,
  subscriber: Subscriber,
  parts: Partial<Subscription> = {},
): Promise<SubscriptionHandle> {
  return provider.subscribe(
    {
      name: 'Receipt',
      channels: ['orders'],
      perProcess: false,
      durable: true,
      from: 'first-subscription',
      window: 256,
      ordered: true,
      transactional: false,
      ...parts,
    },
    subscriber,
  );
}
