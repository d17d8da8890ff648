import { BeyondEnd } from './beyond.end.js';
import type { Clock, Delivery, ProviderContext, Settlement, Subscriber, Subscription } from 'nestjs-eventing';
import type { PositionNotes } from './commit.metadata.js';
import type { DeadLetterTopic } from './dead-letter.topic.js';
import type { KafkaDelivery, Origin } from './kafka.delivery.js';
import { DriverError, sourceName, type DriverReader, type FetchedRecords, type IncomingRecord, type KafkaDriver, type ReaderListener, type TopicPartition } from './kafka.driver.js'; // prettier-ignore
import type { ResolvedKafkaOptions } from './kafka.options.js';
import { PartitionTracker } from './partition.tracker.js';
import type { ProducerQueue, ProducerRecord } from './producer.queue.js';
import type { RetryTargets, RetryTopic } from './retry.topic.js';
import type { Topology } from './topology.js';
import type { TrackerHost } from './tracker.host.js';

/** What the subscriptions of a provider share. */
export interface SubscriptionParts {
  readonly driver: KafkaDriver;
  readonly options: ResolvedKafkaOptions;
  readonly context: ProviderContext;
  readonly topology: Topology;
  readonly queue: ProducerQueue;
  readonly retry: RetryTopic;
  readonly deadLetters: DeadLetterTopic;
}

/** Where positions go; absent where none are kept. */
export interface PositionSink {
  changed(tracker: PartitionTracker, accepted: number): void;
  commitNow(tracker: PartitionTracker): Promise<boolean>;
}

/** Writes positions, for as long as it takes. */
export interface PositionLoop extends PositionSink {
  /** Writes these down now; rejects if that does not succeed within `patience` milliseconds. */
  flush(trackers: readonly PartitionTracker[], patience: number): Promise<void>;
  /** The membership works again. */
  hurry(): void;
  stop(): void;
}

/** The partitions that a subscription has in this process, from reading to settling. */
export class TrackedPartitions implements TrackerHost, ReaderListener {
  readonly window: number;
  readonly clock: Clock;
  readonly commits: boolean;
  readonly transactional: boolean;
  paused = false;
  protected readonly trackers = new Map<string, PartitionTracker>();
  protected readonly reader: DriverReader;
  private readonly beyondEnd: BeyondEnd;

  constructor(
    protected readonly parts: SubscriptionParts,
    protected readonly subscription: Subscription,
    private readonly subscriber: Subscriber,
    private readonly targets: RetryTargets,
    private readonly sink: PositionSink | undefined,
  ) {
    this.window = Math.max(1, subscription.window);
    this.clock = parts.context.clock;
    this.commits = sink !== undefined;
    this.transactional = subscription.transactional;
    this.reader = parts.driver.reader(this);
    this.beyondEnd = new BeyondEnd(this.clock);
  }

  get sources(): TopicPartition[] {
    return [...this.trackers.values()].map((tracker) => tracker.source);
  }

  add(source: TopicPartition, start: { readonly offset: number; readonly notes: PositionNotes }): void {
    this.beyondEnd.clear(sourceName(source));
    this.trackers.get(sourceName(source))?.close();
    this.trackers.set(sourceName(source), new PartitionTracker(source, this, start));
    this.reader.add(source, start.offset);
  }

  of(sources: readonly TopicPartition[]): PartitionTracker[] {
    return sources.map((source) => this.trackers.get(sourceName(source))).filter((tracker) => tracker !== undefined);
  }

  /** What is stored in these partitions beyond what is settled. The retry topic is left out: most of it is for others. */
  async lag(): Promise<number> {
    const { driver, retry } = this.parts;
    const trackers = [...this.trackers.values()].filter(({ source }) => source.topic !== retry.topic);
    const topics = new Set(trackers.map(({ source }) => source.topic));
    const lags = [...topics].map(async (topic) => {
      const own = trackers.filter(({ source }) => source.topic === topic);
      const partitions = own.map(({ source }) => source.partition);
      const ends = await driver.offsets(topic, partitions, 'stable');
      return own.reduce((sum, tracker) => {
        const end = ends.get(tracker.source.partition) ?? 0;
        return sum + Math.max(0, end - tracker.offset);
      }, 0);
    });
    return (await Promise.all(lags)).reduce((sum, lag) => sum + lag, 0);
  }

  /** No more deliveries of these; settlements still count. */
  hold(sources: readonly TopicPartition[]): PartitionTracker[] {
    const trackers = this.of(sources);
    for (const tracker of trackers) {
      tracker.hold();
      this.reader.remove(tracker.source);
    }
    return trackers;
  }

  /** They are another's: settlements have no effect any more. */
  drop(sources: readonly TopicPartition[]): void {
    for (const tracker of this.hold(sources)) {
      tracker.close();
      this.trackers.delete(tracker.name);
    }
  }

  resume(): void {
    this.paused = false;
    for (const tracker of this.trackers.values()) tracker.feed();
  }

  close(): void {
    this.drop(this.sources);
    this.reader.close();
  }

  // what a partition asks for

  deliver(delivery: Delivery): void {
    this.subscriber.deliver(delivery);
  }

  originOf(source: TopicPartition, record: IncomingRecord): Origin | null | undefined {
    return source.topic === this.parts.retry.topic ? this.parts.retry.read(record, this.targets) : null;
  }

  changed(tracker: PartitionTracker, accepted: number): void {
    this.sink?.changed(tracker, accepted);
  }

  commitNow(tracker: PartitionTracker): Promise<boolean> {
    return this.sink?.commitNow(tracker) ?? Promise.resolve(true);
  }

  recordsOf(settlement: Settlement): readonly ProducerRecord[] {
    const { deadLetters, retry, context } = this.parts;
    if (settlement.kind === 'reject') return [deadLetters.recordOf(settlement.letter)];
    const outputs = settlement.kind === 'accept' ? (settlement.outputs ?? []) : [];
    return outputs.map((message) => retry.recordOf(message, context.clock.now()));
  }

  async move(delivery: KafkaDelivery, settlement: Settlement): Promise<void> {
    const { deadLetters, retry, queue, context } = this.parts;
    if (settlement.kind === 'reject') {
      await deadLetters.append(settlement.letter);
    } else if (settlement.kind === 'defer') {
      const { notBefore, attempt } = settlement;
      await queue.publishOne(retry.deferred(delivery, this.targets.own, notBefore, attempt, context.clock.now()));
    }
  }

  full(tracker: PartitionTracker, full: boolean): void {
    if (full) this.reader.pause(tracker.source);
    else this.reader.resume(tracker.source);
  }

  // what the reader tells

  records(source: TopicPartition, fetched: FetchedRecords): void {
    this.beyondEnd.clear(sourceName(source));
    this.trackers.get(sourceName(source))?.take(fetched);
  }

  /** What is stored next will come. */
  idle(source: TopicPartition, _fetched: FetchedRecords, _isBare: boolean): void {
    this.beyondEnd.clear(sourceName(source));
  }

  /** Retention overtook us, or the topic is a new one of the same name: go on with the oldest there is, and say so. */
  async outOfRange(source: TopicPartition, offset: number): Promise<number> {
    const tracker = this.trackers.get(sourceName(source));
    const next = await this.oldest(source, offset);
    // Lost meanwhile, and perhaps ours again, from elsewhere: the question was not for that.
    if (tracker === undefined || tracker.isClosed) return next;
    this.parts.context.logger.warn(
      `EVT_POSITION: ${this.subscription.name} stood at ${offset} of ${sourceName(source)}, which does not exist; ` +
        `it goes on at ${next}, the oldest there is.`,
    );
    if (next < offset) {
      // Offsets begin anew: what is still in hand belongs to a log that is gone.
      tracker.close();
      this.trackers.set(tracker.name, new PartitionTracker(source, this, { offset: next, notes: NO_NOTES }));
      void this.subscriber.revoked([tracker.name]).catch(() => undefined);
    }
    return next;
  }

  /** Where the log begins now. Rejects while it is in doubt that it ends before `offset`. */
  protected async oldest(source: TopicPartition, offset: number): Promise<number> {
    const earliest = await this.parts.driver.offsets(source.topic, [source.partition], 'earliest');
    const first = earliest.get(source.partition) ?? 0;
    if (first <= offset) this.beyondEnd.doubt(sourceName(source), offset);
    return first;
  }

  failed(source: TopicPartition, error: Error): void {
    const { context, topology } = this.parts;
    context.logger.debug(`Reading ${sourceName(source)} for ${this.subscription.name} fails: ${error.message}`);
    if (!(error instanceof DriverError)) return;
    if (error.type === 'UNKNOWN_TOPIC_OR_PARTITION') topology.ensure([source.topic]).catch(() => undefined);
    else if (STUCK.has(error.type)) {
      context.logger.error(
        `EVT_UNDECODABLE: ${this.subscription.name} cannot read on in ${sourceName(source)}: ${error.message}.`,
      );
    }
  }
}

export const NO_NOTES: PositionNotes = { attempt: 1, done: [] };

/** Will not pass by itself. */
const STUCK = new Set(['CORRUPT_MESSAGE', 'UNSUPPORTED_COMPRESSION_TYPE', 'TOPIC_AUTHORIZATION_FAILED']);
