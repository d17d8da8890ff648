import { type Channel, type ChannelModel, connect } from 'amqplib';
import type { ProviderFactory } from 'nestjs-eventing';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import type { ConformanceCluster, ConformanceEnvironment } from 'nestjs-eventing/testing';
import type { RabbitMqAccess } from '../brokers/brokers.js';
import { TcpProxy } from '../brokers/tcp-proxy.js';
import type { BrokerLine } from './broken.broker.js';

/** No case has more processes. */
const PROCESSES = 12;

/** A real RabbitMQ, shared by all cases; every process has a way of its own to it, which can be cut. */
export function rabbitEnvironment(access: () => RabbitMqAccess, line?: BrokerLine): ConformanceEnvironment {
  return {
    name: 'rabbitmq',
    patience: 55_000,
    silence: 700,
    // A queue's reader changes when it leaves, not when another one joins: no `movesSources`.
    traits: { countsCrashes: true, repeatsBeyondGap: false, repeatsOnMove: false, windowCountsFromGap: false },
    async open() {
      const proxies = await Promise.all(Array.from({ length: PROCESSES }, () => TcpProxy.open(access())));
      return new RabbitArea(access(), proxies, line);
    },
  };
}

class RabbitArea implements ConformanceCluster {
  readonly #proxies = new Map<string, TcpProxy>();
  readonly #dead = new Set<string>();
  readonly #services = new Set<string>();
  /** By channel. */
  readonly #queues = new Map<string, Set<string>>();
  #admin: ChannelModel | undefined;
  #away = false;

  constructor(
    private readonly access: RabbitMqAccess,
    private readonly free: TcpProxy[],
    private readonly line: BrokerLine | undefined,
  ) {}

  provider(instance: string): ProviderFactory {
    let proxy = this.#proxies.get(instance);
    if (proxy === undefined) {
      proxy = this.free.pop();
      if (proxy === undefined) throw new Error('This case has more processes than there are proxies.');
      this.#proxies.set(instance, proxy);
      if (this.#away) proxy.cut();
    }
    const { username, password, vhost } = this.access;
    const options = { host: '127.0.0.1', port: proxy.port, username, password, vhost };
    // A broker that is stopped and not dead says nothing: only heartbeats tell. A busy machine is late with short ones.
    const heartbeat = this.line === undefined ? 10_000 : 1_000;
    return this.#noting(rabbitmq({ ...options, heartbeat, connectionTimeout: 2_000 }));
  }

  crash(instance: string): void {
    this.#dead.add(instance);
    this.#proxies.get(instance)?.cut();
  }

  async disconnect(): Promise<void> {
    if (this.line !== undefined) {
      await this.#admin?.close();
      this.#admin = undefined;
      return this.line.disconnect();
    }
    this.#away = true;
    for (const proxy of this.#proxies.values()) proxy.cut();
  }

  async connect(): Promise<void> {
    if (this.line !== undefined) return this.line.connect();
    this.#away = false;
    for (const [instance, proxy] of this.#proxies) if (!this.#dead.has(instance)) proxy.mend();
  }

  /** What is sent there goes to a queue that is full, and to no other. */
  async makePublishFail(channel: string): Promise<void> {
    await this.#use(async (amqp) => {
      for (const queue of this.#queues.get(channel) ?? []) await amqp.unbindQueue(queue, channel, '#');
      await amqp.bindQueue(await full(amqp, `${channel}.full`), channel, '#');
    });
    this.#note(channel, `${channel}.full`);
  }

  async makeDeadLettersFail(service: string): Promise<() => Promise<void>> {
    const letters = `${service}.dead-letters`;
    await this.#use(async (amqp) => {
      await amqp.assertExchange(letters, 'fanout', { durable: true });
      await amqp.assertQueue(letters, { durable: true, arguments: { 'x-queue-type': 'stream' } });
      await amqp.unbindQueue(letters, letters, '');
      await amqp.bindQueue(await full(amqp, `${letters}.full`), letters, '');
    });
    return () =>
      this.#use(async (amqp) => {
        await amqp.bindQueue(letters, letters, '');
        await amqp.deleteQueue(`${letters}.full`);
      });
  }

  async remains(): Promise<readonly string[]> {
    const found: string[] = [];
    for (const queue of [...this.#queues.values()].flatMap((queues) => [...queues]))
      // A missing queue closes the channel: each needs one of its own.
      if (
        await this.#use((amqp) => amqp.checkQueue(queue)).then(
          () => true,
          () => false,
        )
      )
        found.push(queue);
    return found;
  }

  async close(): Promise<void> {
    for (const proxy of [...this.#proxies.values(), ...this.free]) proxy.close();
    await this.#use(async (amqp) => {
      for (const queues of this.#queues.values())
        for (const queue of queues) for (const name of [queue, `${queue}.note`]) await amqp.deleteQueue(name);
      for (const service of this.#services) {
        const delays = ['250ms', '1s', '2s', '5s', '15s', '1m', '5m', '30m', '3h', '24h'].map(
          (name) => `retry.${name}`,
        );
        for (const name of ['dead-letters', 'retry.stranded', ...delays]) await amqp.deleteQueue(`${service}.${name}`);
        for (const name of ['dead-letters', 'retry', 'retry.due', 'retry.stranded'])
          await amqp.deleteExchange(`${service}.${name}`);
      }
      for (const channel of this.#queues.keys()) await amqp.deleteExchange(channel);
    }).catch(() => undefined);
    await this.#admin?.close();
  }

  /** So that its queues can be found, and deleted at the end. */
  #noting(factory: ProviderFactory): ProviderFactory {
    return {
      kind: factory.kind,
      create: (context) => {
        const { service, instance } = context;
        const provider = factory.create(context);
        const subscribe = provider.subscribe.bind(provider);
        provider.subscribe = (subscription, subscriber) => {
          this.#services.add(service);
          const tail = `${service}.${subscription.name}${subscription.perProcess ? `-${instance}` : ''}`;
          for (const channel of subscription.channels) this.#note(channel, `${channel}::${tail}`);
          return subscribe(subscription, subscriber);
        };
        return provider;
      },
    };
  }

  #note(channel: string, queue: string): void {
    const queues = this.#queues.get(channel) ?? new Set();
    this.#queues.set(channel, queues.add(queue));
  }

  async #use<T>(work: (amqp: Channel) => Promise<T>): Promise<T> {
    this.#admin ??= await connect(this.access.url);
    this.#admin.on('error', () => undefined);
    const channel = await this.#admin.createChannel();
    channel.on('error', () => undefined);
    try {
      return await work(channel);
    } finally {
      await channel.close().catch(() => undefined);
    }
  }
}

/** A queue that takes nothing. */
async function full(amqp: Channel, name: string): Promise<string> {
  await amqp.assertQueue(name, { durable: true, arguments: { 'x-max-length': 0, 'x-overflow': 'reject-publish' } });
  return name;
}
