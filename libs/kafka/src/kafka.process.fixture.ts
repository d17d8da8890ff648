import { randomUUID } from 'node:crypto';
import kafkajs from 'kafkajs';
import type { Delivery, EventProvider, OutgoingMessage, ProviderContext, Subscription, SubscriptionHandle } from 'nestjs-eventing'; // prettier-ignore
import { Network, contextOf, message, subscriptionOf, textOf, type TestContext } from './kafka.fixture.js';
import type { KafkaOptions } from './kafka.options.js';
import { kafka } from './kafka.provider.js';

/** A subscription as a test sees it. */
export class Received {
  readonly deliveries: Delivery[] = [];
  readonly revoked: string[] = [];
  handle: SubscriptionHandle | undefined;
  /** What is awaited while sources are revoked. */
  onRevoked: (sources: readonly string[]) => Promise<void> = () => Promise.resolve();

  constructor(private onDelivery: (delivery: Delivery) => void) {}

  /** What was kept until now, and what comes from now on. */
  settleAll(): void {
    this.onDelivery = acceptAll;
    for (const delivery of [...this.deliveries]) acceptAll(delivery);
  }

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDelivery(delivery);
  }

  async revokedFrom(sources: readonly string[]): Promise<void> {
    this.revoked.push(...sources);
    await this.onRevoked(sources);
  }

  get texts(): string[] {
    return this.deliveries.map(textOf);
  }
}

export const acceptAll = (delivery: Delivery): void => void delivery.settle({ kind: 'accept' });
export const keepAll = (): void => undefined;

/** One process of a service, without the kernel, and with a network that can be cut. */
export class TestProcess {
  readonly network = new Network();
  readonly context: TestContext;
  readonly provider: EventProvider;
  private readonly received: Received[] = [];

  constructor(service: string, options: KafkaOptions, changes: Partial<ProviderContext> = {}) {
    this.context = contextOf(service, changes);
    // Short times, so that faults take seconds; brokers allow no session below a second or so.
    const quick = { sessionTimeout: 6_000, heartbeatInterval: 200, commitInterval: 50, connectionTimeout: 2_000 };
    this.provider = kafka({ ...quick, openSocket: this.network.open, ...options }).create(this.context);
  }

  async start(...channels: string[]): Promise<this> {
    await this.provider.start(channels.map((name) => ({ name, durable: true })));
    return this;
  }

  async subscribe(
    name: string,
    channel: string,
    onDelivery: (delivery: Delivery) => void = acceptAll,
    changes: Partial<Subscription> = {},
  ): Promise<Received> {
    const received = new Received(onDelivery);
    this.received.push(received);
    received.handle = await this.provider.subscribe(subscriptionOf(name, channel, changes), {
      deliver: (delivery) => received.deliver(delivery),
      revoked: (sources) => received.revokedFrom(sources),
    });
    return received;
  }

  /** Texts, each a message of its own; throws for one that failed. */
  async publish(channel: string, texts: readonly string[], changes: Partial<OutgoingMessage> = {}): Promise<void> {
    const failures = await this.provider.publish(texts.map((text) => message(channel, { ...changes, text })));
    if (failures[0] !== undefined) throw failures[0].error;
  }

  async stop(): Promise<void> {
    await Promise.all(this.received.flatMap(({ handle }) => (handle === undefined ? [] : [handle.stop()])));
    await this.provider.stop();
  }
}

/** The processes of one service with one channel, and what the broker knows of it. */
export class TestService {
  readonly name = newService();
  readonly channel = `${this.name}.orders`;
  private readonly processes: TestProcess[] = [];

  constructor(
    private readonly brokers: readonly string[],
    private readonly partitions = 3,
  ) {}

  /** Not started yet. */
  process(options: Partial<KafkaOptions> = {}, context: Partial<ProviderContext> = {}): TestProcess {
    const { brokers, partitions } = this;
    const one = new TestProcess(this.name, { brokers, partitions, ...options }, context);
    this.processes.push(one);
    return one;
  }

  started(options: Partial<KafkaOptions> = {}): Promise<TestProcess> {
    return this.process(options).start(this.channel);
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((one) => one.stop()));
  }

  /** Of this service. */
  groups(): Promise<string[]> {
    return this.withAdmin(async (admin) => {
      const { groups } = await admin.listGroups();
      return groups.map(({ groupId }) => groupId).filter((group) => group.startsWith(this.name));
    });
  }

  membersOf(subscription: string): Promise<number> {
    return this.withAdmin(async (admin) => {
      const { groups } = await admin.describeGroups([`${this.name}.${subscription}`]);
      return groups[0]?.members.length ?? 0;
    });
  }

  /** In the first partition. */
  committed(subscription: string): Promise<number> {
    return this.withAdmin(async (admin) => {
      const [topic] = await admin.fetchOffsets({ groupId: `${this.name}.${subscription}`, topics: [this.channel] });
      return Number(topic?.partitions[0]?.offset);
    });
  }

  async withAdmin<T>(work: (admin: kafkajs.Admin) => Promise<T>): Promise<T> {
    const admin = new kafkajs.Kafka({ brokers: [...this.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }
}

export function numbers(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `${from + index}`);
}

export function accept(delivery: Delivery | undefined): void {
  void delivery?.settle({ kind: 'accept' });
}

export function newService(): string {
  return `shop-${randomUUID().slice(0, 8)}`;
}
