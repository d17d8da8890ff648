import { randomUUID } from 'node:crypto';
import { Client } from 'pg';
import type { Delivery, EventProvider, OutgoingMessage, ProviderContext, Subscription, SubscriptionHandle } from 'nestjs-eventing'; // prettier-ignore
import type { PostgresAccess } from '../../../test/brokers/brokers.js';
import { TcpProxy } from '../../../test/brokers/tcp-proxy.js';
import {
  contextOf,
  message,
  subscriptionOf,
  type TestContext,
  textOf,
} from '../../eventing/src/provider/provider.fixture.js';
import { postgres } from './postgres.js';
import type { PostgresOptions } from './postgres.options.js';

export { contextOf, message, type TestContext, textOf, until } from '../../eventing/src/provider/provider.fixture.js';

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

  constructor(public onDelivery: (delivery: Delivery) => void) {}

  deliver(delivery: Delivery): void {
    this.deliveries.push(delivery);
    this.onDelivery(delivery);
  }

  get texts(): string[] {
    return this.deliveries.map(textOf);
  }
}

/** One process of a service, without the kernel, and with a way to the server that can be cut. */
export class TestProcess {
  readonly context: TestContext;
  readonly provider: EventProvider;
  private readonly received: Received[] = [];

  constructor(
    service: string,
    readonly proxy: TcpProxy,
    { user, password, database }: PostgresAccess,
    options: PostgresOptions,
    changes: Partial<ProviderContext>,
  ) {
    this.context = contextOf(service, changes);
    const quick = { leaseTime: 2_000, heartbeatInterval: 200, poolSize: 3, connectionTimeout: 2_000 };
    const access = { host: '127.0.0.1', port: proxy.port, user, password, database };
    this.provider = postgres({ ...access, ...quick, ...options }).create(this.context);
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
      revoked: (sources) => Promise.resolve(void received.revoked.push(...sources)),
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
    this.proxy.close();
  }
}

/** The processes of one service with one channel, and a client of the server's own. */
export class TestService {
  readonly name = `shop-${randomUUID().slice(0, 8)}`;
  readonly channel = `${this.name}.orders`;
  private readonly processes: TestProcess[] = [];
  private readonly clients: Client[] = [];

  constructor(readonly access: PostgresAccess) {}

  /** Not started yet. */
  async process(options: PostgresOptions = {}, context: Partial<ProviderContext> = {}): Promise<TestProcess> {
    const one = new TestProcess(this.name, await TcpProxy.open(this.access), this.access, options, context);
    this.processes.push(one);
    return one;
  }

  async started(options: PostgresOptions = {}, context: Partial<ProviderContext> = {}): Promise<TestProcess> {
    return (await this.process(options, context)).start(this.channel);
  }

  /** A connection of the test's own, for what other software does. */
  async client(): Promise<Client> {
    const client = new Client({ connectionString: this.access.connectionString });
    client.on('error', () => undefined);
    await client.connect();
    this.clients.push(client);
    return client;
  }

  async query<R extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<R[]> {
    const client = this.clients[0] ?? (await this.client());
    return (await client.query<R>(text, values)).rows;
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((one) => one.stop()));
    await Promise.all(this.clients.map((client) => client.end()));
  }
}
