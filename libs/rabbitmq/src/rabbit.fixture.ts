import { type Channel, connect } from 'amqplib';
import { randomUUID } from 'node:crypto';
import type {
  DeadLetter,
  Delivery,
  EventProvider,
  OutgoingMessage,
  ProviderContext,
  Subscription,
  SubscriptionHandle,
} from 'nestjs-eventing';
import type { RabbitMqAccess } from '../../../test/brokers/brokers.js';
import { TcpProxy } from '../../../test/brokers/tcp-proxy.js';
import type { RabbitOptions } from './rabbit.options.js';
import { rabbitmq } from './rabbit.provider.js';
import {
  until as soon,
  contextOf,
  message,
  type TestContext,
  textOf,
} from '../../eventing/src/provider/provider.fixture.js';

export { contextOf, message, type TestContext, textOf } from '../../eventing/src/provider/provider.fixture.js';

/** RabbitMQ takes longer than others to come back. */
export function until(what: string, check: () => boolean | Promise<boolean>, patience = 30_000): Promise<void> {
  return soon(what, check, patience);
}

export const acceptAll = (delivery: Delivery): void => void delivery.settle({ kind: 'accept' });
export const keepAll = (): void => undefined;

export function numbers(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, index) => `${from + index}`);
}

/** A subscription as a test sees it. */
export class Received {
  readonly deliveries: Delivery[] = [];
  readonly revoked: string[] = [];
  handle: SubscriptionHandle | undefined;

  constructor(private readonly onDelivery: (delivery: Delivery) => void) {}

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDelivery(delivery);
  }

  get texts(): string[] {
    return this.deliveries.map(textOf);
  }
}

/** One process of a service, without the kernel, and with a way to the broker that can be cut. */
export class TestProcess {
  readonly context: TestContext;
  readonly provider: EventProvider;
  private readonly received: Received[] = [];

  constructor(
    service: string,
    readonly proxy: TcpProxy,
    { username, password, vhost }: RabbitMqAccess,
    options: RabbitOptions,
    changes: Partial<ProviderContext>,
  ) {
    this.context = contextOf(service, changes);
    const access = { host: '127.0.0.1', port: proxy.port, username, password, vhost };
    const quick = { heartbeat: 1_000, connectionTimeout: 2_000 };
    this.provider = rabbitmq({ ...access, ...quick, ...options }).create(this.context);
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
    const from = 'first-subscription';
    received.handle = await this.provider.subscribe(
      {
        name,
        channels: [channel],
        perProcess: false,
        durable: true,
        from,
        window: 256,
        ordered: true,
        transactional: false,
        ...changes,
      },
      {
        deliver: (delivery) => received.deliver(delivery),
        revoked: (sources) => Promise.resolve(void received.revoked.push(...sources)),
      },
    );
    return received;
  }

  /** Texts, each a message of its own; throws for one that failed. */
  async publish(channel: string, texts: readonly string[], changes: Partial<OutgoingMessage> = {}): Promise<void> {
    const failures = await this.provider.publish(texts.map((text) => message(channel, { ...changes, text })));
    if (failures[0] !== undefined) throw failures[0].error;
  }

  async letters(): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    for (let cursor: string | undefined, page = 0; page === 0 || cursor !== undefined; page++) {
      const found = await this.provider.deadLetters.scan({ limit: 100, ...(cursor === undefined ? {} : { cursor }) });
      letters.push(...found.letters);
      ({ cursor } = found);
    }
    return letters;
  }

  async stop(): Promise<void> {
    await Promise.all(this.received.flatMap(({ handle }) => (handle === undefined ? [] : [handle.stop()])));
    await this.provider.stop();
    this.proxy.close();
  }
}

/** The processes of one service with one channel, and a client of the broker's own. */
export class TestService {
  readonly name = `shop-${randomUUID().slice(0, 8)}`;
  readonly channel = `${this.name}.orders`;
  private readonly processes: TestProcess[] = [];

  constructor(private readonly access: RabbitMqAccess) {}

  /** Not started yet. */
  async process(options: RabbitOptions = {}, context: Partial<ProviderContext> = {}): Promise<TestProcess> {
    const one = new TestProcess(this.name, await TcpProxy.open(this.access), this.access, options, context);
    this.processes.push(one);
    return one;
  }

  async started(options: RabbitOptions = {}, context: Partial<ProviderContext> = {}): Promise<TestProcess> {
    return (await this.process(options, context)).start(this.channel);
  }

  queue(listener: string): string {
    return `${this.channel}::${this.name}.${listener}`;
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((one) => one.stop()));
  }

  /** By hand, as other software does. Rejects where the broker closes the channel. */
  async byHand<T>(work: (channel: Channel) => Promise<T>): Promise<T> {
    const connection = await connect(this.access.url);
    connection.on('error', () => undefined);
    try {
      const channel = await connection.createConfirmChannel();
      channel.on('error', () => undefined);
      const result = await work(channel);
      await channel.waitForConfirms();
      return result;
    } finally {
      await connection.close().catch(() => undefined);
    }
  }

  /** Messages of a queue that nobody has. */
  async ready(queue: string): Promise<number> {
    const { messageCount } = await this.byHand((channel) => channel.checkQueue(queue));
    return messageCount;
  }
}

export function letterOf(id: string, channel: string, changes: Partial<DeadLetter['message']> = {}): DeadLetter {
  return {
    id,
    service: 'shop',
    listener: 'Receipt',
    channel,
    reason: 'failed',
    error: { name: 'Error', message: 'no' },
    attempts: 5,
    firstFailedAt: 1,
    deadAt: 2,
    message: {
      key: 'k',
      headers: { a: '1' },
      body: Buffer.from(`body ${id}`),
      time: 3,
      position: `p-${id}`,
      ...changes,
    },
  };
}
