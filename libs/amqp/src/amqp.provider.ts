import { randomUUID } from 'node:crypto';
import { type Abilities, type ChannelPlan, type DeadLetterStore, EventingError, type EventProvider, type OutgoingMessage, type ProviderContext, type ProviderFactory, type PublishFailure, type Subscriber, type Subscription, type SubscriptionHandle, type WireBinding } from 'nestjs-eventing'; // prettier-ignore
import { AmqpConnection } from './amqp.connection.js';
import { connectionError, hopeless } from './amqp.errors.js';
import { AmqpLine } from './amqp.line.js';
import { Management } from './amqp.management.js';
import { fullName, queueName } from './amqp.names.js';
import { type AmqpOptions, resolveAmqpOptions, type ResolvedAmqpOptions } from './amqp.options.js';
import { AmqpSubscription } from './amqp.subscription.js';
import { AmqpTopology, type QueuePlan } from './amqp.topology.js';
import { DeadLetterQueue } from './dead-letter.queue.js';
import { encodeMessage } from './message.encoder.js';
import { CLOUD_EVENTS, CONTENT_TYPE, MARK } from './message.names.js';
import { PublishQueue, type TargetedMessage } from './publish.queue.js';

/**
 * Events over AMQP 1.0 on ActiveMQ Artemis. A channel is a multicast address, a listener a durable queue
 * `<channel>:<service>:<listener>` of it.
 *
 * Throws EVT_INVALID_OPTIONS at once for options that cannot be used. See docs/providers/amqp.md.
 */
export function amqp(options: AmqpOptions = {}): ProviderFactory {
  const resolved = resolveAmqpOptions(options);
  return { kind: 'amqp', create: (context) => new AmqpProvider(resolved, context) };
}

/** The longest that a stopping provider waits for messages that were taken for publishing. */
const LAST_FLUSH = 5_000;
/** The broker sets no limit; what is further off is a mistake. */
const LONGEST_DEFER = 365 * 86_400_000;

class AmqpProvider implements EventProvider {
  readonly kind = 'amqp';
  readonly binding: WireBinding = {
    attributePrefix: CLOUD_EVENTS,
    contentTypeHeader: CONTENT_TYPE,
    carriesTime: true,
    carriesKey: true,
  };
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly publishing: AmqpLine;
  private readonly consuming: AmqpLine;
  private readonly publisher: PublishQueue;
  private readonly topology: AmqpTopology;
  private readonly letters: DeadLetterQueue;
  private readonly handles = new Set<AmqpSubscription>();
  private management: Management | undefined;
  private starting: Promise<unknown> | undefined;
  private stopping: Promise<void> | undefined;
  private stopped = false;
  private started = false;
  private linesUp = 0;
  /** Undefined until the first attempt. */
  private connected: boolean | undefined;

  constructor(
    private readonly options: ResolvedAmqpOptions,
    private readonly context: ProviderContext,
  ) {
    const { service, clock, publishTimeout, topology, logger } = context;
    this.abilities = {
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      longestDefer: LONGEST_DEFER,
      replay: false,
      transactions: false,
      largestMessage: options.maxMessageBytes,
    };
    const open = (): Promise<AmqpConnection> => AmqpConnection.open(options, options.containerId ?? service);
    this.publishing = new AmqpLine(open, {
      up: () => {
        const { connection } = this.publishing;
        if (connection === undefined) return;
        this.management = new Management(connection, options.requestTimeout);
        this.topology.forget();
        this.publisher.up(connection);
        this.up();
      },
      down: (cause) => {
        this.management = undefined;
        if (this.publisher.connection !== undefined) this.linesUp--;
        this.publisher.down(cause);
        this.down(cause);
      },
    });
    let consumes = false;
    this.consuming = new AmqpLine(open, {
      up: () => {
        consumes = true;
        this.up();
      },
      down: (cause) => {
        if (consumes) this.linesUp--;
        consumes = false;
        this.down(cause);
      },
    });
    this.topology = new AmqpTopology(() => this.managed(), topology, logger);
    this.publisher = new PublishQueue({ publishTimeout, clock, prepare: (target) => this.prepare(target) });
    this.letters = new DeadLetterQueue(`${service}.dead-letters`, {
      publisher: this.publisher,
      topology: this.topology,
      now: () => clock.now(),
      connection: () => this.consuming.connection,
    });
    this.deadLetters = this.letters;
  }

  async start(channels: readonly ChannelPlan[]): Promise<void> {
    try {
      if (this.stopped) throw new Error('stopped');
      this.starting ??= Promise.all([this.publishing.start(), this.consuming.start()]);
      await this.starting;
      await this.prepareAll(channels);
      this.started = true;
      this.tellUp();
    } catch (error) {
      if (this.stopped)
        throw new EventingError('EVT_NOT_RUNNING', 'The AMQP provider was stopped before it was connected.');
      const final = connectionError(error);
      this.stopped = true;
      await Promise.all([this.publishing.stop(), this.consuming.stop()]);
      throw final;
    }
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    if (messages.some(({ to }) => to !== undefined)) return this.publishTargeted(messages);
    return this.publisher.publish(messages.map(encode));
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    if (subscription.from !== 'first-subscription')
      throw new EventingError('EVT_UNSUPPORTED', `${subscription.name} asks for a start in the past (from), which a queue cannot give: leave from out.`); // prettier-ignore
    const { context, options, consuming: line, topology, publisher } = this;
    const parts = {
      ...{ context, options, line, topology, publisher },
      appendLetter: ({ letter }: { readonly letter: Parameters<DeadLetterStore['append']>[0] }) =>
        this.letters.append(letter),
    };
    const plans = subscription.channels.map((channel) => this.planOf(channel, subscription));
    const handle = new AmqpSubscription(parts, plans, subscription, subscriber);
    this.handles.add(handle);
    try {
      await handle.start();
    } catch (error) {
      this.handles.delete(handle);
      await handle.stop();
      throw error;
    }
    return {
      pause: () => handle.pause(),
      resume: () => handle.resume(),
      lag: () => handle.lag(),
      stop: () => handle.stop().finally(() => this.handles.delete(handle)),
    };
  }

  stop(): Promise<void> {
    this.stopping ??= this.end();
    return this.stopping;
  }

  private async end(): Promise<void> {
    this.stopped = true;
    await Promise.all([...this.handles].map((handle) => handle.stop()));
    await this.publisher.close(Math.min(this.context.publishTimeout, LAST_FLUSH));
    await Promise.all([this.publishing.stop(), this.consuming.stop()]);
  }

  /** Until it is done, or there is no hope. */
  private async prepareAll(channels: readonly ChannelPlan[]): Promise<void> {
    for (;;) {
      try {
        for (const { name } of channels) await this.topology.ensureAddress(name);
        await this.topology.declare(this.letters.plan);
        await this.topology.verify(this.letters.plan);
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined || this.stopped) throw final ?? error;
        const connection = this.publishing.connection;
        if (connection !== undefined && !connection.isLost) await new Promise((resolve) => setTimeout(resolve, 500));
        await this.publishing.next();
      }
    }
  }

  /** Redriven letters: to the queue of one subscription, in each process if it is per process. */
  private async publishTargeted(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const failures: PublishFailure[] = [];
    for (const [index, message] of messages.entries()) {
      try {
        const targets = message.to === undefined ? [message.channel] : await this.queuesOf(message.channel, message.to);
        const marks = { [MARK.redriven]: randomUUID() };
        for (const target of targets)
          await this.publisher.publishOne({
            target,
            bytes: encodeMessage({ ...message, to: message.channel, ...(message.to === undefined ? {} : { marks }) }),
          });
      } catch (thrown) {
        const error = connectionError(thrown);
        failures.push({ index, error, indeterminate: error.indeterminate });
      }
    }
    return failures;
  }

  private async queuesOf(channel: string, listener: string): Promise<readonly string[]> {
    const name = queueName(channel, this.context.service, listener);
    const names = (await this.topology.findAll(name)).filter((each) => each === name || each.startsWith(`${name}:`));
    if (names.length > 0) return names.map((each) => fullName(channel, each));
    throw new EventingError(
      'EVT_PUBLISH_FAILED',
      `There is no queue ${name}: start ${listener} of ${this.context.service} before something is sent to it alone.`,
    );
  }

  private planOf(channel: string, { name, perProcess, durable, ordered }: Subscription): QueuePlan {
    const { service, instance } = this.context;
    const common = { address: channel, routing: 'MULTICAST', exclusive: ordered } as const;
    const grace = this.options.queueGrace;
    if (perProcess)
      return { ...common, name: queueName(channel, service, name, instance), durable: false, exclusive: false, grace };
    const shared = queueName(channel, service, name);
    return durable ? { ...common, name: shared, durable } : { ...common, name: shared, durable, grace };
  }

  private async prepare(target: string): Promise<void> {
    if (target === this.letters.name) return this.topology.declare(this.letters.plan);
    const [address = '', queue] = target.split('::');
    if (queue === undefined) return this.topology.ensureAddress(address);
    // A link to a queue that is not there would make one.
    if ((await this.topology.find(queue)) === undefined)
      throw new EventingError('EVT_PUBLISH_FAILED', `There is no queue ${queue} any more.`);
  }

  private async managed(): Promise<Management> {
    if (this.management === undefined)
      throw new EventingError('EVT_CONNECTION', 'The broker cannot be reached for now.');
    return this.management;
  }

  private up(): void {
    this.linesUp++;
    if (this.started) this.tellUp();
  }

  private tellUp(): void {
    if (this.linesUp < 2 || this.connected === true || this.stopped) return;
    if (this.connected === false) this.context.logger.log('The AMQP broker can be reached again.');
    this.connected = true;
    this.context.onStatus('connected');
  }

  private down(cause: Error): void {
    if (this.connected === false || this.stopped) return;
    this.connected = false;
    const error = connectionError(cause);
    this.context.logger.warn(`${error.code}: ${error.message} Trying again until it can.`);
    this.context.onStatus('disconnected', error);
  }
}

function encode(message: OutgoingMessage): TargetedMessage {
  return { target: message.channel, bytes: encodeMessage({ ...message, to: message.channel }) };
}
