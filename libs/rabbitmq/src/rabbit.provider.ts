import { type Abilities, type ChannelPlan, type DeadLetterStore, EventingError, type EventProvider, type OutgoingMessage, type ProviderContext, type ProviderFactory, type PublishFailure, type Subscriber, type Subscription, type SubscriptionHandle, type WireBinding } from 'nestjs-eventing'; // prettier-ignore
import { DeadLetterStream } from './dead-letter.stream.js';
import { CONTENT_TYPE } from './message.codec.js';
import { ParcelMaker } from './parcel.maker.js';
import { PublishGate } from './publish.gate.js';
import { PublishQueue } from './publish.queue.js';
import type { SourceParts } from './queue.source.js';
import { connectionError, hopeless } from './rabbit.errors.js';
import { RabbitLink } from './rabbit.link.js';
import { type RabbitOptions, type ResolvedRabbitOptions, resolveRabbitOptions } from './rabbit.options.js';
import { RabbitRoutes } from './rabbit.routes.js';
import { RabbitSubscription } from './rabbit.subscription.js';
import { RabbitTopology } from './rabbit.topology.js';
import { RetryQueues } from './retry.queues.js';

/**
 * Events on RabbitMQ 3.10 or newer, by AMQP 0-9-1. A channel is a topic exchange, a listener has the queue
 * `<channel>::<service>.<listener>`.
 *
 * Throws EVT_INVALID_OPTIONS at once for options that cannot be used. See docs/providers/rabbitmq.md.
 */
export function rabbitmq(options: RabbitOptions = {}): ProviderFactory {
  const resolved = resolveRabbitOptions(options);
  return { kind: 'rabbitmq', create: (context) => new RabbitProvider(resolved, context) };
}

/** The longest that a stopping provider waits for messages that were taken for publishing. */
const LAST_FLUSH = 5_000;
/** What has longer to wait than the longest delay queue keeps it is deferred again and again. */
const LONGEST_DEFER = 365 * 86_400_000;

class RabbitProvider implements EventProvider {
  readonly kind = 'rabbitmq';
  readonly binding: WireBinding = {
    attributePrefix: 'cloudEvents:',
    contentTypeHeader: CONTENT_TYPE,
    carriesTime: true,
    carriesKey: true,
  };
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly topology: RabbitTopology;
  /** Apart from each other: a broker that is short of memory stops reading from those who publish. */
  private readonly publishing: RabbitLink;
  private readonly consuming: RabbitLink;
  private readonly queue: PublishQueue;
  private readonly gate: PublishGate;
  private readonly parcels: ParcelMaker;
  private readonly parts: SourceParts;
  private readonly handles = new Set<SubscriptionHandle>();
  private readonly away = new Set<RabbitLink>();
  private stopped = false;
  private started = false;
  private checked: Promise<void> | undefined;
  /** Undefined until the first attempt. */
  private connected: boolean | undefined;

  constructor(
    options: ResolvedRabbitOptions,
    private readonly context: ProviderContext,
  ) {
    // prettier-ignore
    const { service, instance, clock, logger, publishTimeout, topology } = context;
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
    const watcher = { up: (link: RabbitLink) => this.up(link), down: (link: RabbitLink, cause: unknown) => this.down(link, cause) }; // prettier-ignore
    const name = options.connectionName ?? `${service} ${instance}`;
    this.publishing = new RabbitLink('publish', options, `${name} publish`, watcher, logger);
    this.consuming = new RabbitLink('consume', options, `${name} consume`, watcher, logger);
    const routes = new RabbitRoutes(options);
    this.topology = new RabbitTopology(options, routes, context);
    this.queue = new PublishQueue({
      publishTimeout,
      maxUnconfirmed: options.maxUnconfirmed,
      clock,
      logger,
      ready: () => this.topology.ensureKnown(this.publishing),
      missing: (exchange) => this.topology.restore(this.publishing, exchange),
    });
    this.gate = new PublishGate(this.queue, {
      publishTimeout,
      clock,
      ensure: (channels) => this.topology.ensureChannels(this.publishing, channels),
    });
    const mayCreate = topology === 'create';
    const retry = new RetryQueues(service, mayCreate, this.consuming, this.queue, () => clock.now());
    this.parcels = new ParcelMaker(routes, this.topology, retry, context);
    const letters = new DeadLetterStream(this.consuming, this.queue, context);
    this.deadLetters = letters;
    this.parts = {
      options,
      context,
      link: this.consuming,
      topology: this.topology,
      publisher: this.queue,
      move: (plan, delivery, settlement) =>
        settlement.kind === 'reject'
          ? letters.append(settlement.letter)
          : retry.defer(delivery, plan.targets[0] ?? '', settlement.notBefore, settlement.attempt),
    };
  }

  async start(channels: readonly ChannelPlan[]): Promise<void> {
    await this.publishing.open();
    await this.gate.retrying(async () => {
      await this.topology.ensurePartitions(this.publishing);
      await this.topology.ensureChannels(this.publishing, channels.map(({ name }) => name)); // prettier-ignore
    });
    this.publishing.join(this.queue);
    this.started = true;
    this.tell();
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const parcels = messages.map((message) => this.parcels.make(message));
    const unknown = this.parcels.unknown(messages);
    return unknown === undefined && !this.gate.isBusy
      ? this.queue.publish(parcels)
      : this.gate.publish(parcels, unknown ?? []);
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    const { name, from } = subscription;
    if (from !== 'first-subscription')
      throw new EventingError('EVT_UNSUPPORTED', `${name} asks for a start in the past (from), which a queue cannot give: leave from out.`); // prettier-ignore
    const plans = this.topology.plansOf(subscription);
    await this.consuming.open();
    if (this.context.topology === 'check' && subscription.durable && !subscription.perProcess) await this.check();
    const handle = new RabbitSubscription(this.parts, plans, subscription, subscriber);
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

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    this.gate.stop();
    await Promise.all([...this.handles].map((handle) => handle.stop()));
    await this.queue.close(Math.min(this.context.publishTimeout, LAST_FLUSH));
    await Promise.all([this.consuming.close(), this.publishing.close()]);
  }

  private async check(): Promise<void> {
    this.checked ??= this.topology.checkService(this.consuming).catch((error: unknown) => {
      this.checked = undefined;
      throw hopeless(error) ?? connectionError(error);
    });
    await this.checked;
  }

  private up(link: RabbitLink): void {
    this.away.delete(link);
    this.tell();
  }

  /** A broker alone makes no start: its channels have to be there. */
  private tell(): void {
    if (!this.started || this.connected === true || this.stopped || this.away.size > 0) return;
    if (this.connected === false) this.context.logger.log('RabbitMQ can be reached again.');
    this.connected = true;
    this.context.onStatus('connected');
  }

  private down(link: RabbitLink, cause: unknown): void {
    this.away.add(link);
    if (this.connected === false || this.stopped) return;
    this.connected = false;
    const error = connectionError(cause);
    this.context.logger.warn(`${error.code}: ${error.message} Trying again until it can.`);
    this.context.onStatus('disconnected', error);
  }
}
