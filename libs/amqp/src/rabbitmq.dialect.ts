import { type Abilities, type DeadLetterStore, EventingError, type Subscription } from 'nestjs-eventing';
import type { AmqpConnection } from './amqp.connection.js';
import { isMissing } from './amqp.errors.js';
import { checkAddress, queueName } from './amqp.names.js';
import type { BrokerDialect, DialectParts, ListenerQueue } from './broker.dialect.js';
import { refuseOther } from './broker.product.js';
import { DeadLetterStream } from './dead-letter.stream.js';
import { ADDRESSES_V1, ADDRESSES_V2, type RabbitMqAddresses } from './rabbitmq.addresses.js';
import { RabbitMqManagement } from './rabbitmq.management.js';
import { type RabbitMqLine, type RabbitMqQueuePlan, RabbitMqTopology } from './rabbitmq.topology.js';
import { probeTarget } from './target.probe.js';

/**
 * Since RabbitMQ 4 a quorum queue drops a message after 20 returns, unless it is told otherwise. The kernel decides when a message
 * has failed for good, so no number that is ever reached.
 */
const NO_LIMIT = 1_000_000_000;
/** A queue must live until its first link is there. Milliseconds. */
const SHORTEST_LIFE = 10_000;
/** RabbitMQ's own limit, in bytes. */
const LONGEST_NAME = 255;

/**
 * RabbitMQ: a channel is a topic exchange, a listener a queue that is bound to it. The exchange `<service>.redrive` leads to the queues
 * of one listener alone. With addresses v2 all of it is made over AMQP 1.0; with v1 others must have made it, and nothing can be asked.
 */
export class RabbitMqDialect implements BrokerDialect {
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly addresses: RabbitMqAddresses;
  private readonly topology: RabbitMqTopology;
  private readonly letters: DeadLetterStream;
  /** How what links are opened to is made, by address. */
  private readonly makers = new Map<string, () => Promise<void>>();
  private readonly targets = new Map<string, string>();
  private readonly redrive: string;
  private line: RabbitMqLine | undefined;

  constructor(private readonly parts: DialectParts) {
    const { context, options, publisher } = parts;
    const managed = options.addresses === 'v2';
    if (!managed && context.topology !== 'check')
      throw new EventingError(
        'EVT_UNSUPPORTED',
        "amqp({ broker: 'rabbitmq', addresses: 'v1' }) cannot make exchanges and queues: have them made, and give the module topology: 'check'; or use RabbitMQ 4 and addresses: 'v2'.",
      );
    this.abilities = {
      // Who made the queues may or may not have let one process at a time read them.
      order: managed ? 'cluster' : 'process',
      durable: true,
      groups: true,
      perProcess: managed,
      longestDefer: 0,
      replay: false,
      transactions: false,
      largestMessage: options.maxMessageBytes,
    };
    this.addresses = managed ? ADDRESSES_V2 : ADDRESSES_V1;
    this.topology = new RabbitMqTopology(() => this.present(), context.topology);
    this.redrive = `${context.service}.redrive`;
    const name = `${context.service}.dead-letters`;
    this.letters = new DeadLetterStream(name, this.addresses.queue(name), managed, {
      publisher,
      topology: this.topology,
      clock: context.clock,
      connection: () => parts.reading(),
    });
    this.deadLetters = this.letters;
    this.makers.set(this.letters.address, () => this.ensureLetters());
  }

  recognize(connection: AmqpConnection): void {
    refuseOther(connection, 'rabbitmq');
    const major = Number.parseInt(connection.version, 10);
    if (this.isManaged && major < 4)
      throw new EventingError(
        'EVT_INVALID_OPTIONS',
        `What answers is RabbitMQ ${connection.version}, which has no addresses v2 and no management over AMQP 1.0: give amqp({ … }) \`addresses: 'v1'\`, use RabbitMQ 4, or use rabbitmq({ … }) of nestjs-eventing/rabbitmq.`,
      );
  }

  up(connection: AmqpConnection): void {
    const { requestTimeout } = this.parts.options;
    this.line = {
      management: new RabbitMqManagement(connection, requestTimeout),
      probe: (target) => probeTarget(connection, target, requestTimeout),
    };
    this.topology.forget();
  }

  down(): void {
    this.line = undefined;
  }

  async prepareService(channels: readonly string[]): Promise<void> {
    for (const channel of channels) await this.ensureChannel(channel);
    if (!this.isManaged) return;
    await this.ensureRedrive();
    await this.ensureLetters();
  }

  targetOf(channel: string): string {
    let target = this.targets.get(channel);
    if (target === undefined) {
      target = this.addresses.exchange(channel, channel);
      this.targets.set(channel, target);
      this.makers.set(target, () => this.ensureChannel(channel));
    }
    return target;
  }

  async targetsOf(channel: string, listener: string): Promise<readonly string[]> {
    const target = this.addresses.exchange(this.redrive, redriveKey(channel, listener));
    this.makers.set(target, () => this.ensureRedrive());
    return [target];
  }

  async prepareTarget(target: string): Promise<void> {
    await this.makers.get(target)?.();
    // Where the broker refuses a link it ends the session, and with it all links for sending: better this one alone.
    await this.present().probe(target);
  }

  /** An exchange that was deleted hands messages back, too. */
  async unrouted(target: string): Promise<void> {
    if (target === this.letters.address || target.startsWith(this.addresses.exchange(this.redrive, '')))
      throw new EventingError(
        'EVT_PUBLISH_FAILED',
        `There is no queue behind ${target}: start the listener before something is sent to it alone.`,
      );
    await this.present().probe(target);
  }

  queueOf(channel: string, subscription: Subscription): ListenerQueue {
    const plan = this.planOf(channel, subscription);
    const { name } = plan;
    const { topology } = this;
    return {
      name,
      channel,
      address: this.addresses.queue(name),
      declare: async () => {
        if (!this.isManaged) return;
        await this.ensureChannel(channel);
        await this.ensureRedrive();
        await topology.ensureQueue(plan);
      },
      verify: async (refused) => {
        if (!this.isManaged && isMissing(refused)) throw topology.missing(plan, refused);
      },
      count: async (here) => {
        if (this.isManaged) return here + (await topology.countMessages(name));
        throw new EventingError('EVT_UNSUPPORTED', "With addresses: 'v1' nobody tells how many messages a queue has.");
      },
      left: async () => {
        if (this.isManaged && !plan.shared && this.line !== undefined) await topology.removeUnused(name);
      },
    };
  }

  private get isManaged(): boolean {
    return this.addresses === ADDRESSES_V2;
  }

  private ensureChannel(channel: string): Promise<void> {
    checkAddress(channel);
    return this.topology.ensureExchange(channel, 'topic', this.addresses.exchange(channel, channel));
  }

  private ensureRedrive(): Promise<void> {
    return this.topology.ensureExchange(this.redrive, 'direct', this.addresses.exchange(this.redrive, 'any'));
  }

  private async ensureLetters(): Promise<void> {
    if (this.isManaged) await this.topology.ensureQueue(this.letters.plan);
  }

  private planOf(channel: string, subscription: Subscription): RabbitMqQueuePlan {
    const { service, instance } = this.parts.context;
    const { name: listener, perProcess, durable, ordered } = subscription;
    const name = queueName(channel, service, listener, perProcess ? instance : undefined);
    if (Buffer.byteLength(name) > LONGEST_NAME)
      throw new EventingError(
        'EVT_TOPOLOGY',
        `The queue of ${listener} would be called ${name}, which is longer than ${LONGEST_NAME} bytes: give the channel, the service or the listener a shorter name.`,
      );
    const life = Math.max(SHORTEST_LIFE, this.parts.options.queueGrace);
    return {
      name,
      shared: durable && !perProcess,
      arguments: {
        ...(durable && !perProcess
          ? { 'x-queue-type': 'quorum', 'x-delivery-limit': NO_LIMIT }
          : { 'x-queue-type': 'classic', 'x-expires': life }),
        // A limit that an operator sets makes senders fail; it must not make messages vanish.
        'x-overflow': 'reject-publish',
        ...(ordered && !perProcess ? { 'x-single-active-consumer': true } : {}),
      },
      bindings: [
        { exchange: channel, key: '#' },
        { exchange: this.redrive, key: redriveKey(channel, listener) },
      ],
    };
  }

  private present(): RabbitMqLine {
    if (this.line !== undefined) return this.line;
    throw new EventingError('EVT_CONNECTION', 'The broker cannot be reached for now.');
  }
}

/** Of all queues of a listener, whatever process they belong to. */
function redriveKey(channel: string, listener: string): string {
  return `${channel}:${listener}`;
}
