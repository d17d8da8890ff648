import { connect, Socket } from 'node:net';
import type { Delivery, ProviderContext, Subscription } from 'nestjs-eventing';
import rhea, { type Connection, type Message, type Sender } from 'rhea';
import type { ArtemisAccess } from '../../../test/brokers/brokers.js';
import { manage } from '../../../test/brokers/artemis/artemis-management.js';
import { amqp, type AmqpOptions, type SocketTarget } from './index.js';
import { contextOf, subscriptionOf, type TestContext, textOf } from '../../eventing/src/provider/provider.fixture.js';

export {
  contextOf,
  message,
  subscriptionOf,
  type TestContext,
  textOf,
  until,
} from '../../eventing/src/provider/provider.fixture.js';

/** A provider and what it was told and says, with all that it delivered. */
export class TestProcess {
  readonly context: TestContext;
  readonly provider;
  readonly deliveries: Delivery[] = [];
  private readonly handles: { stop(): Promise<void> }[] = [];

  constructor(
    access: Pick<ArtemisAccess, 'host' | 'port' | 'username' | 'password'>,
    service: string,
    options: Partial<AmqpOptions> = {},
    context: Partial<ProviderContext> = {},
  ) {
    const { host, port, username, password } = access;
    this.context = contextOf(service, context);
    this.provider = amqp({ ...{ host, port, username, password }, connectTimeout: 2_000, idleTimeout: 3_000, ...options }).create(this.context); // prettier-ignore
  }

  get texts(): string[] {
    return this.deliveries.map(textOf);
  }

  start(...channels: readonly string[]): Promise<void> {
    return this.provider.start(channels.map((name) => ({ name, durable: true })));
  }

  async subscribe(
    name: string,
    channel: string,
    decide: (delivery: Delivery) => void = (delivery) => void delivery.settle({ kind: 'accept' }),
    changes: Partial<Subscription> = {},
  ) {
    const handle = await this.provider.subscribe(subscriptionOf(name, channel, changes), {
      deliver: (delivery) => {
        this.deliveries.push(delivery);
        decide(delivery);
      },
      revoked: () => Promise.resolve(),
    });
    this.handles.push(handle);
    return handle;
  }

  async stop(): Promise<void> {
    await Promise.all(this.handles.map((handle) => handle.stop()));
    await this.provider.stop();
  }
}

/** Software that knows nothing of this framework. */
export class Stranger {
  private constructor(private readonly connection: Connection) {}

  static async connect({ host, port, username, password }: ArtemisAccess): Promise<Stranger> {
    const connection = rhea.create_container().connect({ host, port, username, password, reconnect: false });
    for (const event of ['disconnected', 'connection_error', 'error']) connection.on(event, () => undefined);
    await new Promise<void>((resolve) => connection.once('connection_open', () => resolve()));
    return new Stranger(connection);
  }

  async send(address: string, message: Message): Promise<void> {
    await this.with(address, (sender) => sender.send(message));
  }

  close(): void {
    this.connection.close();
  }

  private async with(address: string, send: (sender: Sender) => void): Promise<void> {
    const sender = this.connection.open_sender({ target: { address, capabilities: ['topic'] } });
    try {
      await new Promise<void>((resolve, reject) => {
        sender.once('sendable', () => send(sender));
        sender.once('accepted', () => resolve());
        sender.once('rejected', ({ delivery }) => reject(new Error(JSON.stringify(delivery?.remote_state))));
        sender.once('sender_error', () => reject(new Error((sender.error as Error).message)));
      });
    } finally {
      sender.close();
    }
  }
}

/** The network of one process: what it has open can be cut; how often it was used is counted. */
export class Network {
  opened = 0;
  private readonly sockets = new Set<Socket>();
  private isCut = false;

  readonly open = ({ host, port }: SocketTarget): Socket => {
    this.opened++;
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

  /** What is open breaks; what comes after is fine. */
  breakAll(): void {
    for (const socket of this.sockets) socket.destroy(new Error('the network is cut'));
  }

  mend(): void {
    this.isCut = false;
  }
}

export function control(access: ArtemisAccess, resource: string, operation: string, ...args: readonly unknown[]) {
  return manage(access, resource, operation, args);
}
