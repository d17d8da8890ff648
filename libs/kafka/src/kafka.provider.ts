import { EventingError, type Abilities, type ChannelPlan, type DeadLetterStore, type EventProvider, type OutgoingMessage, type ProviderContext, type ProviderFactory, type PublishFailure, type Subscriber, type Subscription, type SubscriptionHandle, type WireBinding, Alarm, backoff } from 'nestjs-eventing'; // prettier-ignore
import { DeadLetterTopic } from './dead-letter.topic.js';
import { GroupSubscription } from './group.subscription.js';
import type { KafkaDriver, TopicPlan } from './kafka.driver.js';
import { connectionError, hopeless } from './kafka.errors.js';
import { largestBody, resolveKafkaOptions, type KafkaOptions, type ResolvedKafkaOptions } from './kafka.options.js';
import { KafkajsDriver } from './kafkajs.driver.js';
import { ProcessSubscription } from './process.subscription.js';
import { ProducerQueue, type ProducerRecord } from './producer.queue.js';
import { RetryTopic } from './retry.topic.js';
import { checkStart } from './start.position.js';
import { Topology } from './topology.js';

/**
 * Events on Apache Kafka 2.5 or newer. A channel is a topic, a listener is a consumer group `<service>.<listener>`.
 *
 * Throws EVT_INVALID_OPTIONS at once for options that cannot be used. See docs/providers/kafka.md.
 */
export function kafka(options: KafkaOptions): ProviderFactory {
  const resolved = resolveKafkaOptions(options);
  return { kind: 'kafka', create: (context) => new KafkaProvider(resolved, context) };
}

/** The longest that a stopping provider waits for messages that were taken for publishing. */
const LAST_FLUSH = 5_000;
/** Room for bodies that other programs stored, larger than ours may be, and for what is known of a failure. */
const DEAD_LETTER_ROOM = 10 * 1024 * 1024;

class KafkaProvider implements EventProvider {
  readonly kind = 'kafka';
  readonly binding: WireBinding = {
    attributePrefix: 'ce_',
    contentTypeHeader: 'content-type',
    carriesTime: true,
    carriesKey: true,
  };
  readonly abilities: Abilities;
  readonly deadLetters: DeadLetterStore;
  private readonly driver: KafkaDriver;
  private readonly topology: Topology;
  private readonly queue: ProducerQueue;
  private readonly retry: RetryTopic;
  private readonly letters: DeadLetterTopic;
  private readonly handles = new Set<SubscriptionHandle>();
  private readonly alarm = new Alarm();
  private stopped = false;
  private started = false;
  /** Undefined until the first attempt. */
  private connected: boolean | undefined;

  constructor(
    private readonly options: ResolvedKafkaOptions,
    private readonly context: ProviderContext,
  ) {
    const { service, clock, publishTimeout, topology } = context;
    this.abilities = {
      order: 'cluster',
      durable: true,
      groups: true,
      perProcess: true,
      // The retry topic forgets what is older; half of that leaves room for a service that was down when it was due.
      longestDefer: options.retryRetention / 2,
      replay: true,
      boundedReplay: true,
      transactions: options.transactions,
      gathersOutputs: options.transactions,
      largestMessage: largestBody(options),
    };
    this.driver = new KafkajsDriver(
      { options, clientId: options.clientId ?? service, logger: context.logger, clock },
      { up: () => this.back(), down: (cause) => this.down(cause) },
    );
    this.retry = new RetryTopic(`${service}.retry`);
    this.topology = new Topology(this.driver, topology, (topic) => this.planOf(topic));
    const { batchBytes, metadataMaxAge } = options;
    this.queue = new ProducerQueue(this.driver.producer(), this.topology, {
      batchBytes: Math.min(batchBytes, options.maxMessageBytes),
      publishTimeout,
      metadataMaxAge,
      clock,
    });
    this.letters = new DeadLetterTopic(`${service}.dead-letters`, this.driver, this.queue, this.topology, () =>
      clock.now(),
    );
    this.deadLetters = this.letters;
  }

  async start(channels: readonly ChannelPlan[]): Promise<void> {
    const topics = [...new Set([...channels.map(({ name }) => name), this.retry.topic, this.letters.topic])];
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        await this.driver.connect();
        await this.topology.ensure(topics);
        this.started = true;
        this.up();
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) this.down(error as Error);
        await this.alarm.sleep(backoff(attempt, 100, 5_000));
      }
    }
    throw new EventingError('EVT_NOT_RUNNING', 'The Kafka provider was stopped before it was connected.');
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    const records = new Array<ProducerRecord>(messages.length);
    for (let index = 0; index < messages.length; index++) {
      records[index] = this.retry.recordOf(messages[index] as OutgoingMessage, this.context.clock.now());
    }
    return this.queue.publish(records);
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    checkStart(subscription.from, subscription.name);
    const { driver, options, context, topology, queue, retry, letters: deadLetters } = this;
    const parts = { driver, options, context, topology, queue, retry, deadLetters };
    const handle: SubscriptionHandle & { start(): Promise<void> } = subscription.perProcess
      ? new ProcessSubscription(parts, subscription, subscriber)
      : new GroupSubscription(parts, subscription, subscriber);
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
      ...(handle.ended === undefined ? {} : { ended: handle.ended }),
      stop: () => handle.stop().finally(() => this.handles.delete(handle)),
    };
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    this.alarm.wake();
    await Promise.all([...this.handles].map((handle) => handle.stop()));
    await this.queue.close(Math.min(this.context.publishTimeout, LAST_FLUSH));
    await this.driver.close();
  }

  private planOf(topic: string): TopicPlan {
    const { partitions, retryPartitions, replicationFactor, topicConfig, retryRetention, maxMessageBytes } =
      this.options;
    const roomy = { 'max.message.bytes': String(maxMessageBytes + DEAD_LETTER_ROOM) };
    if (topic === this.retry.topic) {
      const config = { ...roomy, 'retention.ms': String(retryRetention) };
      return { topic, partitions: retryPartitions, replicationFactor, config };
    }
    if (topic === this.letters.topic) {
      const config = { ...roomy, 'cleanup.policy': 'compact' };
      return { topic, partitions: 1, replicationFactor, config };
    }
    return { topic, partitions, replicationFactor, config: topicConfig };
  }

  /** A broker alone makes no start: its channels have to be there. */
  private back(): void {
    if (this.started) this.up();
  }

  private up(): void {
    if (this.connected === true || this.stopped) return;
    if (this.connected === false) this.context.logger.log('Kafka can be reached again.');
    this.connected = true;
    this.queue.hurry();
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
