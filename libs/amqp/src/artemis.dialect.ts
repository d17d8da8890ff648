import { type Abilities, type DeadLetterStore, EventingError, type Subscription } from 'nestjs-eventing';
import type { AmqpConnection } from './amqp.connection.js';
import { BrokerError } from './amqp.errors.js';
import { fullName, queueName } from './amqp.names.js';
import { Management } from './artemis.management.js';
import { AmqpTopology, type QueuePlan } from './artemis.topology.js';
import type { BrokerDialect, DialectParts, ListenerQueue } from './broker.dialect.js';
import { refuseOther } from './broker.product.js';
import { DeadLetterQueue } from './dead-letter.queue.js';

/** The broker sets no limit; what is further off is a mistake. */
const LONGEST_DEFER = 365 * 86_400_000;

/** ActiveMQ Artemis: a channel is a multicast address, a listener a queue of it; asked by its management's messages. */
export class ArtemisDialect implements BrokerDialect {
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly topology: AmqpTopology;
  private readonly letters: DeadLetterQueue;
  private management: Management | undefined;

  constructor(private readonly parts: DialectParts) {
    const { service, clock, topology, logger } = parts.context;
    this.abilities = {
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      longestDefer: LONGEST_DEFER,
      replay: false,
      transactions: false,
      largestMessage: parts.options.maxMessageBytes,
    };
    this.topology = new AmqpTopology(() => this.managed(), topology, logger);
    this.letters = new DeadLetterQueue(`${service}.dead-letters`, {
      publisher: parts.publisher,
      topology: this.topology,
      now: () => clock.now(),
      connection: () => parts.reading(),
    });
    this.deadLetters = this.letters;
  }

  recognize(connection: AmqpConnection): void {
    refuseOther(connection, 'artemis');
  }

  up(connection: AmqpConnection): void {
    this.management = new Management(connection, this.parts.options.requestTimeout);
    this.topology.forget();
  }

  down(): void {
    this.management = undefined;
  }

  async prepareService(channels: readonly string[]): Promise<void> {
    for (const name of channels) await this.topology.ensureAddress(name);
    await this.topology.declare(this.letters.plan);
    await this.topology.verify(this.letters.plan);
  }

  targetOf(channel: string): string {
    return channel;
  }

  async targetsOf(channel: string, listener: string): Promise<readonly string[]> {
    const { service } = this.parts.context;
    const name = queueName(channel, service, listener);
    const names = (await this.topology.findAll(name)).filter((each) => each === name || each.startsWith(`${name}:`));
    if (names.length > 0) return names.map((each) => fullName(channel, each));
    throw new EventingError(
      'EVT_PUBLISH_FAILED',
      `There is no queue ${name}: start ${listener} of ${service} before something is sent to it alone.`,
    );
  }

  async prepareTarget(target: string): Promise<void> {
    if (target === this.letters.name) return this.topology.declare(this.letters.plan);
    const [address = '', queue] = target.split('::');
    if (queue === undefined) return this.topology.ensureAddress(address);
    // A link to a queue that is not there would make one.
    if ((await this.topology.find(queue)) === undefined)
      throw new EventingError('EVT_PUBLISH_FAILED', `There is no queue ${queue} any more.`);
  }

  /** What nobody listens to is accepted here; so this is about something else. */
  unrouted(): Promise<void> {
    return Promise.reject(new BrokerError('amqp:internal-error', 'it gave the message back'));
  }

  queueOf(channel: string, subscription: Subscription): ListenerQueue {
    const { topology } = this;
    const plan = this.planOf(channel, subscription);
    const { name } = plan;
    return {
      name,
      channel,
      address: fullName(channel, name),
      declare: () => topology.declare(plan),
      verify: () => topology.verify(plan),
      count: () => topology.countMessages(name),
      left: async () => {
        // A queue with consumers stays.
        if (plan.grace !== undefined && this.parts.reading() !== undefined) await topology.removeUnused(name);
      },
    };
  }

  private planOf(channel: string, { name, perProcess, durable, ordered }: Subscription): QueuePlan {
    const { service, instance } = this.parts.context;
    const common = { address: channel, routing: 'MULTICAST', exclusive: ordered } as const;
    const grace = this.parts.options.queueGrace;
    if (perProcess)
      return { ...common, name: queueName(channel, service, name, instance), durable: false, exclusive: false, grace };
    const shared = queueName(channel, service, name);
    return durable ? { ...common, name: shared, durable } : { ...common, name: shared, durable, grace };
  }

  private async managed(): Promise<Management> {
    if (this.management === undefined)
      throw new EventingError('EVT_CONNECTION', 'The broker cannot be reached for now.');
    return this.management;
  }
}
