import {
  Alarm,
  backoff,
  settledWithin,
  type Subscriber,
  type Subscription,
  type SubscriptionHandle,
} from 'nestjs-eventing';
import { CommitLoop } from './commit.loop.js';
import { decodeNotes } from './commit.metadata.js';
import { DriverError, sourceName, type CommittedPosition, type DriverMember, type MemberListener, type TopicPartition } from './kafka.driver.js'; // prettier-ignore
import { connectionError, hopeless } from './kafka.errors.js';
import { retryTargets } from './retry.topic.js';
import { findStart } from './start.position.js';
import { OutputBatches } from './output.batches.js';
import { TrackedPartitions, type PositionLoop, type SubscriptionParts } from './tracked.partitions.js';
import { TransactionLoop } from './transaction.loop.js';

const QUIET_ATTEMPTS = 4;
/** Outputs become visible by transactions, so these are not farther apart. Milliseconds. */
const LONGEST_TRANSACTION = 100;
/** Outputs that do not wait for the interval. */
const TRANSACTION_OUTPUTS = 1_000;
const STOP_TIMEOUT = 3_000;
const FORGET_TIMEOUT = 1_000;
/** While a rebalance waits for us. */
const FLUSH_TIMEOUT = 2_000;
/** The kernel keeps to `rebalanceDrain` itself; this is for one that does not. */
const DRAIN_SLACK = 1_000;

/**
 * A subscription whose members, in any number of processes, share the partitions and one position in each. One that is not durable
 * has positions as long as it has members.
 */
export class GroupSubscription implements SubscriptionHandle, MemberListener {
  private readonly group: string;
  private readonly topics: readonly string[];
  private readonly partitions: TrackedPartitions;
  private readonly positions: PositionLoop;
  /** The same, where the subscription is transactional. */
  private readonly transactions: TransactionLoop | undefined;
  private readonly member: DriverMember;
  private readonly alarm = new Alarm();
  /** Partitions of topics that had no position at all before we joined: they begin where the subscription says. */
  private readonly unseen = new Map<string, number>();
  private established: { resolve(): void; reject(error: Error): void } | undefined;
  private settling = false;
  private stopped: Promise<void> | undefined;
  /** The taking over that is under way; false once it lost its object. */
  private gaining: { valid: boolean } | undefined;
  private away = false;
  /** The brokers refuse notes beside positions. */
  private bare = false;

  constructor(
    private readonly parts: SubscriptionParts,
    private readonly subscription: Subscription,
    private readonly subscriber: Subscriber,
  ) {
    const { options, context, driver, retry } = parts;
    this.group = `${context.service}.${subscription.name}`;
    this.topics = [...new Set([...subscription.channels, retry.topic])];
    this.member = driver.member(
      {
        group: this.group,
        topics: this.topics,
        rebalanceTimeout: context.rebalanceDrain + DRAIN_SLACK + options.sessionTimeout,
      },
      this,
    );
    if (subscription.transactional) this.transactions = this.transactionLoop();
    this.positions =
      this.transactions ??
      new CommitLoop({
        interval: options.commitInterval,
        threshold: options.commitThreshold,
        clock: context.clock,
        commit: (positions) => this.commit(positions),
        failed: (error) =>
          context.logger.warn(`Positions of ${this.group} cannot be written for now: ${error.message}`),
      });
    this.partitions = new TrackedPartitions(
      parts,
      subscription,
      subscriber,
      retryTargets(subscription.name, undefined),
      this.positions,
    );
  }

  /** Resolves when each partition has a position, whichever member wrote it. */
  async start(): Promise<void> {
    await this.lookForPositions();
    const established = new Promise<void>((resolve, reject) => {
      this.established = { resolve, reject };
    });
    this.member.start();
    await established;
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
    this.stopped ??= this.shutDown();
    return this.stopped;
  }

  // what the membership tells

  async beforeJoin(): Promise<void> {
    await this.parts.topology.ensure(this.topics);
  }

  async gained(sources: readonly TopicPartition[]): Promise<void> {
    if (this.stopped !== undefined) return;
    const gaining = (this.gaining = { valid: true });
    // A process that had them and does not know better can change their positions no more from here on.
    await this.transactions?.take(sources);
    const positions = new Map<string, CommittedPosition>();
    const { driver } = this.parts;
    const committed =
      this.transactions === undefined
        ? await driver.committed(this.group, sources)
        : await driver.stable(this.group, sources);
    for (const position of committed) {
      positions.set(sourceName(position), position);
    }
    const missing = await this.begin(sources.filter((source) => !positions.has(sourceName(source))));
    for (const position of missing) positions.set(sourceName(position), position);
    // Others may have them by now, and no transactional id holds back a position that is written by itself.
    if (!gaining.valid || this.stopped !== undefined) return;
    // On record before anybody relies on it: a crash from here on must not lose what is published from here on.
    if (missing.length > 0) await this.commit(missing);
    if (!gaining.valid || this.stopped !== undefined) return;
    for (const { topic, partition, offset, metadata } of positions.values()) {
      this.partitions.add({ topic, partition }, { offset, notes: decodeNotes(offset, metadata) });
    }
  }

  async revoked(sources: readonly TopicPartition[]): Promise<void> {
    const { context } = this.parts;
    const trackers = this.partitions.hold(sources);
    await settledWithin(this.subscriber.revoked(sources.map(sourceName)), context.rebalanceDrain + DRAIN_SLACK);
    for (const tracker of trackers) tracker.letGo();
    try {
      await this.positions.flush(trackers, FLUSH_TIMEOUT);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      context.logger.warn(
        `Positions of ${this.group} were not written before a rebalance; some events are repeated: ${why}`,
      );
    }
    this.partitions.drop(sources);
    this.transactions?.drop(sources);
  }

  lost(sources: readonly TopicPartition[]): void {
    if (this.gaining !== undefined) this.gaining.valid = false;
    this.forsake(sources);
  }

  private forsake(sources: readonly TopicPartition[]): void {
    const names = this.partitions.of(sources).map(({ name }) => name);
    this.partitions.drop(sources);
    this.transactions?.drop(sources);
    if (names.length > 0) void this.subscriber.revoked(names).catch(() => undefined);
  }

  joined(): void {
    if (this.away) this.parts.context.logger.log(`${this.group} is back in its group.`);
    this.away = false;
    this.positions.hurry();
    if (this.established !== undefined) void this.awaitPositions();
  }

  failed(error: Error): void {
    const final = hopeless(error);
    if (final !== undefined && this.established !== undefined) {
      this.established.reject(final);
      return;
    }
    if (!this.away) this.parts.context.logger.warn(`${this.group} lost its group and joins again: ${error.message}`);
    this.away = true;
  }

  private async commit(positions: readonly CommittedPosition[]): Promise<void> {
    try {
      await this.member.commit(this.bare ? positions.map((position) => ({ ...position, metadata: '' })) : positions);
    } catch (error) {
      if (this.bare || !(error instanceof DriverError) || error.type !== 'OFFSET_METADATA_TOO_LARGE') throw error;
      this.bare = true;
      this.warnOfBareness();
      await this.commit(positions);
    }
  }

  private warnOfBareness(): void {
    this.parts.context.logger.warn(
      `The brokers keep no notes beside the positions of ${this.group}: a crash repeats more than it need. ` +
        'Set their `offset.metadata.max.bytes` to 4096.',
    );
  }

  private transactionLoop(): TransactionLoop {
    const { options, context, driver, topology } = this.parts;
    const batchBytes = Math.min(options.batchBytes, options.maxMessageBytes);
    return new TransactionLoop(driver.transactors({ timeout: options.transactionTimeout }), {
      group: this.group,
      interval: Math.min(options.commitInterval, LONGEST_TRANSACTION),
      threshold: TRANSACTION_OUTPUTS,
      clock: context.clock,
      batches: new OutputBatches(topology, batchBytes),
      fenced: (source, error) => this.fenced(source, error),
      failed: (source, error) =>
        context.logger.error(
          `EVT_PUBLISH_FAILED: ${this.group} stands still in ${sourceName(source)} until a transaction succeeds: ${error.message}`,
        ),
      bare: () => this.warnOfBareness(),
    });
  }

  /** Somebody else may have it, or the broker forgot where we stood: what is in hand counts for nothing, and the group decides. */
  private fenced(source: TopicPartition, error: Error): void {
    this.parts.context.logger.warn(`${this.group} takes ${sourceName(source)} over anew: ${error.message}`);
    this.forsake([source]);
    this.member.surrender([source]);
  }

  /** Which topics are new to this group. Waits for the broker for as long as it takes. */
  private async lookForPositions(): Promise<void> {
    for (let attempt = 1; this.stopped === undefined; attempt++) {
      try {
        await this.parts.topology.ensure(this.topics);
        // What a last process left behind by dying.
        if (!this.subscription.durable) await this.parts.driver.forgetGroup(this.group);
        const sources = await this.allSources();
        const committed = new Set((await this.parts.driver.committed(this.group, sources)).map(({ topic }) => topic));
        for (const { topic, partition } of sources) if (!committed.has(topic)) this.unseen.set(topic, partition + 1);
        // A known subscription with a new retry topic: whatever is in there may be its own.
        if (committed.size > 0) this.unseen.delete(this.parts.retry.topic);
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        // A group of a new cluster finds no coordinator at first: that is no news.
        if (attempt === QUIET_ATTEMPTS) this.parts.context.logger.warn(connectionError(error).message);
        await this.alarm.sleep(backoff(attempt, 100, 2_000));
      }
    }
  }

  private async allSources(): Promise<TopicPartition[]> {
    const layouts = await this.parts.driver.layout(this.topics);
    return [...layouts.values()].flatMap(({ topic, leaders }) => leaders.map((_, partition) => ({ topic, partition })));
  }

  /** Partitions that were added later, and everything after the first time, begin at the beginning: nothing is left out. */
  private async begin(sources: readonly TopicPartition[]): Promise<CommittedPosition[]> {
    const first = sources.filter(({ topic, partition }) => partition < (this.unseen.get(topic) ?? 0));
    const later = sources.filter((source) => !first.includes(source));
    const { retry, driver } = this.parts;
    const own = first.filter(({ topic }) => topic !== retry.topic);
    const found = [
      ...(await findStart(driver, this.subscription.from, own)),
      ...(await findStart(
        driver,
        'first-subscription',
        first.filter(({ topic }) => topic === retry.topic),
      )),
      ...(await findStart(driver, 'earliest', later)),
    ];
    return found.map(([name, offset]) => ({ ...sourceOf(name), offset, metadata: '' }));
  }

  /** Other members may hold some of the partitions, and write their positions at this moment. */
  private async awaitPositions(): Promise<void> {
    if (this.settling) return;
    this.settling = true;
    for (let attempt = 1; this.established !== undefined && this.stopped === undefined; attempt++) {
      try {
        const sources = await this.allSources();
        const committed = await this.parts.driver.committed(this.group, sources);
        if (committed.length === sources.length) {
          this.unseen.clear();
          this.established.resolve();
          this.established = undefined;
        }
      } catch {
        // The membership reports what is wrong.
      }
      if (this.established !== undefined) await this.alarm.sleep(backoff(attempt, 20, 500));
    }
    this.settling = false;
  }

  private async shutDown(): Promise<void> {
    const trackers = this.partitions.hold(this.partitions.sources);
    for (const tracker of trackers) tracker.letGo();
    await settledWithin(this.positions.flush(trackers, STOP_TIMEOUT), STOP_TIMEOUT);
    this.positions.stop();
    this.alarm.wake();
    this.established?.resolve();
    this.established = undefined;
    await this.member.leave();
    this.partitions.close();
    if (!this.subscription.durable) await settledWithin(this.parts.driver.forgetGroup(this.group), FORGET_TIMEOUT);
  }
}

function sourceOf(name: string): TopicPartition {
  const at = name.lastIndexOf('/');
  return { topic: name.slice(0, at), partition: Number(name.slice(at + 1)) };
}
