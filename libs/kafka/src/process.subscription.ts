import {
  Alarm,
  backoff,
  type Subscriber,
  type Subscription,
  type SubscriptionHandle,
  type Timer,
} from 'nestjs-eventing';
import { sourceName, type TopicPartition } from './kafka.driver.js';
import { connectionError, hopeless } from './kafka.errors.js';
import { retryTargets } from './retry.topic.js';
import { PastPartitions } from './past.partitions.js';
import { findOffsets, findStart } from './start.position.js';
import { NO_NOTES, TrackedPartitions, type SubscriptionParts } from './tracked.partitions.js';

/**
 * A subscription that each process has for itself: it reads all partitions without being a member of any group, so that there is
 * nothing to join, to commit or to leave behind. A replay is one that ends where its partitions ended when it began.
 */
export class ProcessSubscription implements SubscriptionHandle {
  private readonly partitions: TrackedPartitions;
  /** The same, of a replay. */
  private readonly past: PastPartitions | undefined;
  private readonly topics: readonly string[];
  private readonly alarm = new Alarm();
  private watch: Timer | undefined;
  private stopped = false;

  constructor(
    private readonly parts: SubscriptionParts,
    private readonly subscription: Subscription,
    subscriber: Subscriber,
  ) {
    const targets = retryTargets(subscription.name, parts.context.instance);
    this.topics = [...new Set([...subscription.channels, parts.retry.topic])];
    if (subscription.until === 'now')
      this.past = new PastPartitions(parts, subscription, subscriber, targets, undefined);
    this.partitions = this.past ?? new TrackedPartitions(parts, subscription, subscriber, targets, undefined);
  }

  get ended(): SubscriptionHandle['ended'] {
    return this.past?.ended;
  }

  /** Resolves when it is fixed where each partition is read from. */
  async start(): Promise<void> {
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        await this.parts.topology.ensure(this.topics);
        const { topic: retry } = this.parts.retry;
        const sources = await this.newSources();
        const start = new Map([
          ...(await findStart(
            this.parts.driver,
            this.subscription.from,
            sources.filter(({ topic }) => topic !== retry),
          )),
          ...(await findStart(
            this.parts.driver,
            'first-subscription',
            sources.filter(({ topic }) => topic === retry),
          )),
        ]);
        if (this.past === undefined) {
          this.begin(sources, start);
          this.watchForMore();
        } else await this.beginPast(this.past, sources, start);
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) this.parts.context.logger.warn(connectionError(error).message);
        await this.alarm.sleep(backoff(attempt, 100, 2_000));
      }
    }
  }

  pause(): void {
    this.partitions.paused = true;
  }

  resume(): void {
    this.partitions.resume();
  }

  lag(): Promise<number> {
    return this.partitions.lag();
  }

  stop(): Promise<void> {
    this.stopped = true;
    this.watch?.cancel();
    this.alarm.wake();
    this.partitions.close();
    return Promise.resolve();
  }

  private begin(sources: readonly TopicPartition[], start: ReadonlyMap<string, number>): void {
    if (this.stopped) return;
    for (const source of sources) {
      this.partitions.add(source, { offset: start.get(sourceName(source)) ?? 0, notes: NO_NOTES });
    }
  }

  /** What is stored in partitions that are added later is not of the past. */
  private async beginPast(
    past: PastPartitions,
    sources: readonly TopicPartition[],
    start: ReadonlyMap<string, number>,
  ): Promise<void> {
    const { driver, options, retry } = this.parts;
    const own = sources.filter(({ topic }) => topic !== retry.topic);
    const at = options.readUncommitted ? 'latest' : 'stable';
    const ends = await findOffsets(driver, own, at);
    if (this.stopped) return;
    this.begin(
      sources.filter(({ topic }) => topic === retry.topic),
      start,
    );
    for (const source of own)
      past.addUntil(source, start.get(sourceName(source)) ?? 0, ends.get(sourceName(source)) ?? 0);
    past.allAdded();
  }

  private watchForMore(): void {
    if (this.stopped) return;
    const { context, options } = this.parts;
    this.watch = context.clock.setTimeout(() => {
      void this.takeMore()
        .catch(() => undefined) // the broker is away: the reader says so, and the next look is soon
        .then(() => this.watchForMore());
    }, options.metadataMaxAge);
  }

  /** Partitions added since begin at their beginning. */
  private async takeMore(): Promise<void> {
    const sources = await this.newSources();
    if (sources.length > 0) this.begin(sources, await findStart(this.parts.driver, 'earliest', sources));
  }

  private async newSources(): Promise<TopicPartition[]> {
    const known = new Set(this.partitions.sources.map(sourceName));
    const layouts = await this.parts.driver.layout(this.topics, true);
    return [...layouts.values()]
      .flatMap(({ topic, leaders }) => leaders.map((_, partition) => ({ topic, partition })))
      .filter((source) => !known.has(sourceName(source)));
  }
}
