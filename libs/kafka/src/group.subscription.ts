import { settledWithin, type Subscriber, type Subscription, type SubscriptionHandle } from 'nestjs-eventing';
import { CommitLoop } from './commit.loop.js';
import { decodeNotes } from './commit.metadata.js';
import { DelayedSurrender } from './delayed.surrender.js';
import { GroupBeginning } from './group.beginning.js';
import { DriverError, sourceName, type CommittedPosition, type DriverMember, type MemberListener, type TopicPartition } from './kafka.driver.js'; // prettier-ignore
import { hopeless, remedyOf } from './kafka.errors.js';
import { retryTargets } from './retry.topic.js';
import { OutputBatches } from './output.batches.js';
import { Takeovers } from './takeovers.js';
import { TrackedPartitions, type PositionLoop, type SubscriptionParts } from './tracked.partitions.js';
import { TransactionLoop } from './transaction.loop.js';
import { UnstablePositions } from './unstable.positions.js';

/** Outputs become visible by transactions, so these are not farther apart. Milliseconds. */
const LONGEST_TRANSACTION = 100;
/** Outputs that do not wait for the interval. */
const TRANSACTION_OUTPUTS = 1_000;
const STOP_TIMEOUT = 3_000;
const FORGET_TIMEOUT = 1_000;
/** While a rebalance waits for us. */
const FLUSH_TIMEOUT = 2_000;
/** Before a position is asked for again that was unstable for some seconds. Milliseconds. */
const UNSTABLE_PAUSE = 1_000;
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
  private readonly beginning: GroupBeginning;
  private established: { resolve(): void; reject(error: Error): void } | undefined;
  private settling = false;
  private stopped: Promise<void> | undefined;
  /** The taking over that is under way; false once it lost its object. */
  private gaining: { valid: boolean } | undefined;
  private readonly takeovers: Takeovers;
  private readonly unstable: UnstablePositions;
  private readonly surrender: DelayedSurrender;
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
    this.takeovers = new Takeovers(context.clock);
    this.unstable = new UnstablePositions(this.group, context.logger, context.clock);
    this.topics = [...new Set([...subscription.channels, retry.topic])];
    this.beginning = new GroupBeginning(parts, subscription, this.group, this.topics);
    this.member = driver.member(
      {
        group: this.group,
        topics: this.topics,
        rebalanceTimeout: context.rebalanceDrain + DRAIN_SLACK + options.sessionTimeout,
      },
      this,
    );
    this.surrender = new DelayedSurrender(context.clock, (sources) => this.member.surrender(sources));
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
    await this.beginning.look();
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
    const { positions: committed, unstable } = await this.member.positions(sources);
    const positions = new Map(committed.map((position) => [sourceName(position), position]));
    const waiting = new Set(unstable.map(sourceName));
    const unknown = sources.filter((one) => !positions.has(sourceName(one)) && !waiting.has(sourceName(one)));
    const missing = await this.beginning.of(unknown);
    for (const position of missing) positions.set(sourceName(position), position);
    // Others may have them by now, and no transactional id holds back a position that is written by itself.
    if (!gaining.valid || this.stopped !== undefined) return;
    // On record before anybody relies on it: a crash from here on must not lose what is published from here on.
    if (missing.length > 0) await this.commit(missing);
    if (!gaining.valid || this.stopped !== undefined) return;
    for (const { topic, partition, offset, metadata } of positions.values()) {
      const notes = this.takeovers.correct(sourceName({ topic, partition }), offset, decodeNotes(offset, metadata));
      this.partitions.add({ topic, partition }, { offset, notes });
    }
    this.unstable.over([...positions.keys()]);
    this.postpone(unstable);
  }

  async revoked(sources: readonly TopicPartition[]): Promise<void> {
    const { context } = this.parts;
    this.surrender.forget(sources);
    this.takeovers.forget(sources.map(sourceName));
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
    this.surrender.forget(sources);
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
    const { transactionTimeout: timeout } = options;
    // The broker must not be the first to lose patience.
    const patience = Math.min(context.publishTimeout, timeout / 2);
    const batchBytes = Math.min(options.batchBytes, options.maxMessageBytes);
    return new TransactionLoop(driver.transactors({ timeout, patience }), {
      group: this.group,
      interval: Math.min(options.commitInterval, LONGEST_TRANSACTION),
      threshold: TRANSACTION_OUTPUTS,
      clock: context.clock,
      batches: new OutputBatches(topology, batchBytes),
      fenced: (source, error) => this.fenced(source, error),
      failed: (source, error) =>
        context.logger.error(
          `EVT_PUBLISH_FAILED: ${this.group} stands still in ${sourceName(source)} until a transaction succeeds: ${error.message}. ${remedyOf(error)}`,
        ),
      bare: () => this.warnOfBareness(),
    });
  }

  /** Somebody else may have it, or nobody knows where it stands: what is in hand counts for nothing, and the group decides. */
  private fenced(source: TopicPartition, error: Error): void {
    const { logger } = this.parts.context;
    const name = sourceName(source);
    const { count, pause } = this.takeovers.begin(name, this.partitions.of([source])[0]);
    this.forsake([source]);
    // The first of a spell, the second, the fourth.
    if ((count & (count - 1)) === 0) logger.warn(`${this.group} takes ${name} over anew: ${error.message}`);
    this.surrender.after(pause, [source]);
  }

  /** A position that a transaction may still change is not guessed at: it is asked for again and again, while the others go on. */
  private postpone(sources: readonly TopicPartition[]): void {
    if (sources.length === 0) return;
    this.transactions?.drop(sources);
    const names = sources.map(sourceName);
    this.unstable.found(names);
    const pauses = names.map((name) => this.takeovers.begin(name, undefined).pause);
    this.surrender.after(Math.max(UNSTABLE_PAUSE, ...pauses), sources);
  }

  private async awaitPositions(): Promise<void> {
    if (this.settling) return;
    this.settling = true;
    if (await this.beginning.isOver()) this.establish();
    this.settling = false;
  }

  private establish(): void {
    this.established?.resolve();
    this.established = undefined;
  }

  private async shutDown(): Promise<void> {
    this.surrender.stop();
    const trackers = this.partitions.hold(this.partitions.sources);
    for (const tracker of trackers) tracker.letGo();
    await settledWithin(this.positions.flush(trackers, STOP_TIMEOUT), STOP_TIMEOUT);
    this.positions.stop();
    this.beginning.stop();
    this.establish();
    await this.member.leave();
    this.partitions.close();
    if (!this.subscription.durable) await settledWithin(this.parts.driver.forgetGroup(this.group), FORGET_TIMEOUT);
  }
}
