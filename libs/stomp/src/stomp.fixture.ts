import { randomUUID } from 'node:crypto';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';
import rhea, { type Message, type Sender } from 'rhea';
import {
  systemClock,
  type Delivery,
  type EventProvider,
  type OutgoingMessage,
  type ProviderContext,
  type Subscription,
  type SubscriptionHandle,
} from 'nestjs-eventing';
import { type ArtemisLogin, manage } from '../../../test/brokers/artemis/artemis-management.js';
import { StompConnection } from './stomp.connection.js';
import { resolveStompOptions, type StompOptions, type StompSocketTarget } from './stomp.options.js';
import { stomp } from './stomp.provider.js';
import { contextOf, message, type TestContext, textOf, until } from '../../eventing/src/provider/provider.fixture.js';

export { contextOf, message, type TestContext, textOf, until } from '../../eventing/src/provider/provider.fixture.js';

export type Access = ArtemisLogin & { readonly stompPort?: number | undefined };

export const acceptAll = (delivery: Delivery): void => void delivery.settle({ kind: 'accept' });
export const keepAll = (): void => undefined;

/** The network of one process: what it has open can be cut, and it is counted how often it was asked for. */
export class Network {
  attempts = 0;
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  readonly open = ({ host, port }: StompSocketTarget): Socket => {
    this.attempts++;
    const socket = this.isCut ? new Socket() : connect({ host, port });
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    if (this.isCut) setImmediate(() => socket.destroy(new Error('the network is cut')));
    return socket;
  };

  cut(): void {
    this.isCut = true;
    this.breakAll();
  }

  /** What is open breaks, and can be made anew. */
  breakAll(): void {
    for (const socket of this.sockets) socket.destroy(new Error('the network is cut'));
  }

  mend(): void {
    this.isCut = false;
  }
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

/** One process of a service, without the kernel, and with a network that can be cut. */
export class TestProcess {
  readonly network = new Network();
  readonly context: TestContext;
  readonly provider: EventProvider;
  private readonly received: Received[] = [];

  constructor(service: string, options: StompOptions, changes: Partial<ProviderContext> = {}) {
    this.context = contextOf(service, changes);
    const quick = { heartbeat: 500, connectTimeout: 2_000, requestTimeout: 10_000 };
    this.provider = stomp({ ...quick, openSocket: this.network.open, ...options }).create(this.context);
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
    const plan: Subscription = {
      ...{ name, channels: [channel], perProcess: false, durable: true, from: 'first-subscription', window: 256 },
      ordered: true,
      transactional: false,
      ...changes,
    };
    received.handle = await this.provider.subscribe(plan, {
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
  }
}

export const newService = (): string => `shop-${randomUUID().slice(0, 8)}`;

/** The processes of one service with one channel, and what the broker knows of it. */
export class TestService {
  readonly name = newService();
  readonly channel = `${this.name}.orders`;
  private readonly ends: (() => Promise<void> | void)[] = [];

  constructor(private readonly access: () => Access) {}

  get options(): StompOptions {
    const { host, stompPort, username, password } = this.access();
    return { host, port: stompPort ?? 0, username, password };
  }

  /** Not started yet. */
  process(options: Partial<StompOptions> = {}, context: Partial<ProviderContext> = {}): TestProcess {
    const one = new TestProcess(this.name, { ...this.options, ...options }, context);
    this.ends.push(() => one.stop());
    return one;
  }

  started(options: Partial<StompOptions> = {}): Promise<TestProcess> {
    return this.process(options).start(this.channel);
  }

  manage(resource: string, operation: string, ...args: readonly unknown[]): Promise<unknown> {
    return manage(this.access(), resource, operation, args);
  }

  /** The queue of a listener. */
  queue(listener: string): string {
    return `${this.channel}:${this.name}:${listener}`;
  }

  async count(queue: string): Promise<number> {
    return Number(await this.manage(`queue.${queue}`, 'countMessages'));
  }

  /** Frames as they stand here, from a program that knows nothing of us. */
  async frames(...frames: readonly (readonly [head: string, body?: Uint8Array])[]): Promise<void> {
    const connection = await StompConnection.open(resolveStompOptions(this.options), systemClock);
    for (const [head, body] of frames) await connection.request(head, body);
    await connection.close();
  }

  /** Messages by AMQP, with sections of whatever kind. */
  async amqp(address: string, messages: readonly Message[]): Promise<void> {
    const { host, port, username, password } = this.access();
    const connection = rhea.create_container().connect({ host, port, username, password, reconnect: false });
    const sender = await new Promise<Sender>((resolve) => {
      const opening = connection.open_sender({ target: { address, capabilities: ['topic'] } as never });
      opening.once('sendable', () => resolve(opening));
    });
    let settled = 0;
    sender.on('settled', () => settled++);
    for (const one of messages) sender.send(one);
    await until('AMQP messages are taken', () => settled === messages.length);
    connection.close();
  }

  async stop(): Promise<void> {
    await Promise.all(this.ends.map((end) => end()));
  }
}

/** A way to the broker on which everything can come to a stop without an end, as when a host is suspended. */
export class FreezingProxy {
  private readonly sockets = new Set<Socket>();
  private frozen = false;

  private constructor(private readonly server: Server) {}

  static async to({ host, stompPort }: Access): Promise<FreezingProxy> {
    const server = createServer();
    const proxy = new FreezingProxy(server);
    server.on('connection', (near) => {
      const far = connect({ host, port: stompPort ?? 0 });
      for (const [from, into] of [
        [near, far],
        [far, near],
      ] as const) {
        proxy.sockets.add(from);
        from.on('data', (chunk) => proxy.frozen || into.write(chunk));
        // Nothing is heard of an end either.
        from.on('close', () => proxy.frozen || into.destroy());
        from.on('error', () => undefined);
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  freeze(): void {
    this.frozen = true;
  }

  /** For new connections; what stood still is broken. */
  thaw(): void {
    this.frozen = false;
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
  }

  close(): void {
    this.thaw();
    this.server.close();
  }
}
