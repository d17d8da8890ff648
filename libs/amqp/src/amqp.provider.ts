import { randomUUID } from 'node:crypto';
import { type Abilities, type ChannelPlan, type DeadLetterStore, EventingError, type EventProvider, type OutgoingMessage, type ProviderContext, type ProviderFactory, type PublishFailure, type Subscriber, type Subscription, type SubscriptionHandle, type WireBinding } from 'nestjs-eventing'; // prettier-ignore
import { AmqpConnection } from './amqp.connection.js';
import { connectionError, hopeless } from './amqp.errors.js';
import { AmqpLine } from './amqp.line.js';
import { type AmqpOptions, resolveAmqpOptions, type ResolvedAmqpOptions } from './amqp.options.js';
import { AmqpSubscription } from './amqp.subscription.js';
import { ArtemisDialect } from './artemis.dialect.js';
import type { BrokerDialect, DialectParts } from './broker.dialect.js';
import { encodeMessage } from './message.encoder.js';
import { CLOUD_EVENTS, CONTENT_TYPE, MARK } from './message.names.js';
import { PublishQueue } from './publish.queue.js';
import { RabbitMqDialect } from './rabbitmq.dialect.js';

/**
 * Events over AMQP 1.0, on ActiveMQ Artemis or on RabbitMQ 4. A channel is a multicast address there and an exchange here, a listener a
 * durable queue `<channel>:<service>:<listener>` of it.
 *
 * Throws EVT_INVALID_OPTIONS at once for options that cannot be used. See docs/providers/amqp.md.
 */
export function amqp(options: AmqpOptions = {}): ProviderFactory {
  const resolved = resolveAmqpOptions(options);
  return { kind: 'amqp', create: (context) => new AmqpProvider(resolved, context) };
}

/** The longest that a stopping provider waits for messages that were taken for publishing. */
const LAST_FLUSH = 5_000;

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
  private readonly dialect: BrokerDialect;
  private readonly handles = new Set<AmqpSubscription>();
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
    const { service, clock, publishTimeout } = context;
    const open = async (): Promise<AmqpConnection> => {
      const connection = await AmqpConnection.open(options, options.containerId ?? service);
      try {
        this.dialect.recognize(connection);
      } catch (error) {
        await connection.close();
        throw error;
      }
      return connection;
    };
    this.publishing = new AmqpLine(open, {
      up: () => {
        const { connection } = this.publishing;
        if (connection === undefined) return;
        this.dialect.up(connection);
        this.publisher.up(connection);
        this.up();
      },
      down: (cause) => {
        this.dialect.down();
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
    this.publisher = new PublishQueue({
      publishTimeout,
      clock,
      prepare: (target) => this.dialect.prepareTarget(target),
      unrouted: (target) => this.dialect.unrouted(target),
    });
    const reading = (): AmqpConnection | undefined => this.consuming.connection;
    this.dialect = dialectOf({ options, context, publisher: this.publisher, reading });
    ({ abilities: this.abilities, deadLetters: this.deadLetters } = this.dialect);
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
    return this.publisher.publish(
      messages.map((message) => ({
        target: this.dialect.targetOf(message.channel),
        bytes: encodeMessage({ ...message, to: message.channel }),
      })),
    );
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    if (subscription.from !== 'first-subscription')
      throw new EventingError('EVT_UNSUPPORTED', `${subscription.name} asks for a start in the past (from), which a queue cannot give: leave from out.`); // prettier-ignore
    const { context, options, consuming: line, publisher, dialect } = this;
    const parts = {
      ...{ context, options, line, publisher },
      appendLetter: ({ letter }: { readonly letter: Parameters<DeadLetterStore['append']>[0] }) =>
        this.deadLetters.append(letter),
    };
    const queues = subscription.channels.map((channel) => dialect.queueOf(channel, subscription));
    const handle = new AmqpSubscription(parts, queues, subscription, subscriber);
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
        await this.dialect.prepareService(channels.map(({ name }) => name));
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
        const { channel, to } = message;
        const targets = to === undefined ? [this.dialect.targetOf(channel)] : await this.dialect.targetsOf(channel, to);
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

function dialectOf(parts: DialectParts): BrokerDialect {
  return parts.options.broker === 'rabbitmq' ? new RabbitMqDialect(parts) : new ArtemisDialect(parts);
}
