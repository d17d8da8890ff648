import { EventingError, type Abilities, type ChannelPlan, type DeadLetterStore, type EventProvider, type OutgoingMessage, type ProviderContext, type ProviderFactory, type PublishFailure, type Subscriber, type Subscription, type SubscriptionHandle, type WireBinding, Alarm, backoff } from 'nestjs-eventing'; // prettier-ignore
import { BrokerManagement } from './broker.management.js';
import { deadLetterQueue, replyAddress } from './broker.names.js';
import { BrokerTopology } from './broker.topology.js';
import { DeadLetterQueue } from './dead-letter.queue.js';
import { frameOf, PublishPreparation } from './publish.preparation.js';
import { PublishQueue } from './publish.queue.js';
import { QueueSubscription } from './queue.subscription.js';
import { StompConnection } from './stomp.connection.js';
import { connectionError, hopeless } from './stomp.errors.js';
import { largestBody, resolveStompOptions, type ResolvedStompOptions, type StompOptions } from './stomp.options.js';
import type { ProviderParts } from './stomp.parts.js';
import { ProviderStatus } from './provider.status.js';
import { ReconnectPace } from './reconnect.pace.js';

/**
 * Events on ActiveMQ Artemis by STOMP 1.2. A channel is a multicast address, a listener has a queue `<channel>:<service>:<listener>`.
 *
 * Throws EVT_INVALID_OPTIONS at once for options that cannot be used. See docs/providers/stomp.md.
 */
export function stomp(options: StompOptions): ProviderFactory {
  const resolved = resolveStompOptions(options);
  return { kind: 'stomp', create: (context) => new StompProvider(resolved, context) };
}

/** The longest that a stopping provider waits for messages that were taken for publishing. */
const LAST_FLUSH = 5_000;
/** The longest pause after a connection that the broker ended at once, in milliseconds. */
const LONGEST_PAUSE = 200;
const YEAR = 365 * 86_400_000;

class StompProvider implements EventProvider {
  readonly kind = 'stomp';
  readonly binding: WireBinding = {
    attributePrefix: 'cloudEvents:',
    contentTypeHeader: 'content-type',
    carriesTime: true,
    carriesKey: true,
  };
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly parts: ProviderParts;
  private readonly letters: DeadLetterQueue;
  private readonly status: ProviderStatus;
  private readonly handles = new Set<SubscriptionHandle>();
  private readonly alarm = new Alarm();
  private readonly preparing: PublishPreparation;
  private connection: StompConnection | undefined;
  private isOver = false;
  private running: Promise<void> = Promise.resolve();
  private stopping: Promise<void> | undefined;

  constructor(
    private readonly options: ResolvedStompOptions,
    private readonly context: ProviderContext,
  ) {
    const { service, clock, publishTimeout, topology: mode, logger } = context;
    this.abilities = {
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      longestDefer: YEAR,
      replay: false,
      transactions: false,
      largestMessage: largestBody(options),
    };
    const management = new BrokerManagement(options, replyAddress(service), clock);
    const topology = new BrokerTopology(management, mode, logger);
    const publisher = new PublishQueue({ window: options.publishWindow, publishTimeout, clock });
    this.status = new ProviderStatus(context);
    this.letters = new DeadLetterQueue(deadLetterQueue(service), options, clock, publisher, management);
    this.deadLetters = this.letters;
    this.parts = { options, context, management, topology, publisher, deadLetters: this.letters, status: this.status };
    this.preparing = new PublishPreparation(this.parts);
  }

  async start(channels: readonly ChannelPlan[]): Promise<void> {
    const names = new Set(channels.map(({ name }) => name));
    for (let attempt = 1; this.stopping === undefined; attempt++) {
      try {
        await this.parts.topology.addresses(names);
        await this.parts.topology.queue(this.letters.plan);
        await this.connect();
        this.running = this.run();
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) this.status.down(this, connectionError(error));
        this.parts.publisher.away(error as Error);
        await this.alarm.sleep(backoff(attempt));
      }
    }
    throw new EventingError('EVT_NOT_RUNNING', 'The STOMP provider was stopped before it was connected.');
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    if (!messages.every((message) => this.preparing.isReady(message))) return this.preparing.publish(messages);
    return this.parts.publisher.publish(messages.map((message) => frameOf(message, message.channel)));
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    if (this.stopping !== undefined) throw new EventingError('EVT_NOT_RUNNING', 'The STOMP provider is stopped.');
    const handle = new QueueSubscription(this.parts, subscription, subscriber);
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
    this.status.stop();
    this.alarm.wake();
    await Promise.all([...this.handles].map((handle) => handle.stop()));
    await this.parts.publisher.close(Math.min(this.context.publishTimeout, LAST_FLUSH));
    this.isOver = true;
    this.alarm.wake();
    this.connection?.destroy();
    await this.running;
    await this.parts.management.close();
  }

  private async connect(): Promise<void> {
    const connection = await StompConnection.open(this.options, this.context.clock);
    this.connection = connection;
    if (this.isOver) return connection.destroy();
    this.parts.publisher.use(connection);
    this.status.up(this);
  }

  /** Until it is stopped: waits for the end of the connection, and makes another. */
  private async run(): Promise<void> {
    const { clock } = this.context;
    const { publisher } = this.parts;
    // Other events wait behind those that the broker refuses.
    const pace = new ReconnectPace(LONGEST_PAUSE);
    while (!this.isOver) {
      const [began, stored] = [clock.now(), publisher.confirmed];
      const fault = await (this.connection as StompConnection).ended;
      if (this.isOver) return;
      const pause = pace.after(clock.now() - began, publisher.confirmed > stored);
      if (pause > 0) await this.alarm.sleep(pause);
      // A message that the broker refused costs the connection, and no more.
      if (!fault.refused) this.status.down(this, connectionError(fault));
      await this.reconnect(fault.refused);
    }
  }

  private async reconnect(asItWas: boolean): Promise<void> {
    const { topology, publisher, context } = this.parts;
    for (let attempt = 1; !this.isOver; attempt++) {
      try {
        // The broker may have come back without its addresses.
        if (!asItWas || attempt > 1) await Promise.all([topology.again(), topology.queue(this.letters.plan)]);
        await this.connect();
        return;
      } catch (error) {
        publisher.away(error as Error);
        this.status.down(this, connectionError(error));
        if (attempt === 1 && hopeless(error) !== undefined)
          context.logger.error(`Nothing can be sent for now: ${connectionError(error).message}`);
        await this.alarm.sleep(backoff(attempt));
      }
    }
  }
}
