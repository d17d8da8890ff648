import { randomBytes } from 'node:crypto';
import { Alarm, backoff, EventingError, type Subscriber, type Subscription, type SubscriptionHandle, settledWithin } from 'nestjs-eventing'; // prettier-ignore
import type { DeferredOwner } from '../deferred/deferred.table.js';
import { deferredWake, logWake } from '../log/wake.ups.js';
import { connectionError, hopeless } from '../postgres.errors.js';
import type { Changes } from './commit.loop.js';
import type { Member } from './lease.table.js';
import type { SourceTracker } from './source.tracker.js';
import type { SubscriptionParts } from './subscription.parts.js';
import { ownTarget } from './subscription.table.js';
import { type StateSink, TrackedSources } from './tracked.sources.js';

const STOP_TIMEOUT = 3_000;

/**
 * A subscription that each process has for itself: it reads all partitions and keeps its positions in memory. The database knows of it only
 * as long as it lives, so that what is sent to the subscription alone reaches each process.
 */
export class ProcessSubscription implements SubscriptionHandle, StateSink {
  readonly commits = false;
  readonly ends: boolean;
  private readonly member: Member;
  private readonly owner: DeferredOwner;
  private readonly sources: TrackedSources;
  private readonly alarm = new Alarm();
  private beating: Promise<void> | undefined;
  private unlisten: (() => void) | undefined;
  private stopped: Promise<void> | undefined;
  private registered = false;
  /** Of a replay: the snapshot up to which it reads. */
  until: string | undefined;

  constructor(
    private readonly parts: SubscriptionParts,
    private readonly subscription: Subscription,
    subscriber: Subscriber,
  ) {
    const { context } = parts;
    this.ends = subscription.until === 'now';
    const name = `${context.service}.${subscription.name}`;
    const member = `${context.instance}:${randomBytes(4).toString('hex')}`;
    if (subscription.transactional)
      throw new EventingError(
        'EVT_UNSUPPORTED',
        `${name} is of each process alone, and a transaction is of what processes share: leave out perProcess or 'exactly-once'.`,
      );
    this.member = { subscription: name, member, channels: [...new Set(subscription.channels)], perProcess: true };
    this.owner = { target: ownTarget(name, member), member: undefined };
    this.sources = new TrackedSources(parts, subscription, subscriber, this.owner, this);
  }

  /** Resolves when it is fixed where each partition is read from. */
  async start(): Promise<void> {
    const { context, wakeUps } = this.parts;
    for (let attempt = 1; this.stopped === undefined; attempt++) {
      try {
        await this.begin();
        break;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) context.logger.warn(connectionError(error).message);
        await this.alarm.sleep(backoff(attempt, 100, 2_000));
      }
    }
    if (this.stopped !== undefined) return;
    this.sources.start();
    this.beating = this.keepBeating();
    this.unlisten = wakeUps.add({
      wakes: new Map([
        ...this.member.channels.map((channel) => [logWake(channel), 'log'] as const),
        [deferredWake(this.member.subscription), 'deferred'],
      ]),
      wake: (kind) => this.sources.look(kind === 'deferred' ? kind : 'log'),
    });
  }

  get ended(): Promise<'incomplete' | void> {
    return this.sources.drained;
  }

  pause(): void {
    this.sources.pause();
  }

  resume(): void {
    this.sources.resume();
  }

  lag(): Promise<number> {
    return this.sources.lag();
  }

  stop(): Promise<void> {
    this.stopped ??= this.shutDown();
    return this.stopped;
  }

  // what the sources tell

  async write({ removals }: Changes): Promise<readonly SourceTracker[]> {
    const { database, deferred } = this.parts;
    const held = removals.map(({ tracker, numbers }) => tracker.these(numbers));
    await deferred.remove(database(), this.owner, held);
    return [];
  }

  lost(): void {
    // Its sources are nobody else's.
  }

  private async begin(): Promise<void> {
    const { channels, table, leases, database, bounds } = this.parts;
    await channels.ensure(this.member.channels);
    const sources = this.member.channels.flatMap((channel) =>
      Array.from({ length: channels.partitions(channel) ?? 0 }, (_, partition) => ({ channel, partition })),
    );
    await leases.beat(this.member);
    this.registered = true;
    const { from } = this.subscription;
    if (this.ends) this.until = await bounds.now(database());
    const how = { from, ends: this.ends };
    const starts = await table.starts(database(), this.member.subscription, how, sources);
    for (let index = 0; index < sources.length; index++) {
      const [source, start] = [sources[index], starts[index]];
      if (source !== undefined && start !== undefined) this.sources.add(source, 0, { ...start, done: [], attempt: 1 });
    }
  }

  private async keepBeating(): Promise<void> {
    const { leases, options, context } = this.parts;
    for (let failures = 0; this.stopped === undefined;) {
      await this.alarm.sleep(options.heartbeatInterval);
      if (this.stopped !== undefined) return;
      try {
        await leases.beat(this.member);
        failures = 0;
      } catch (error) {
        failures++;
        if (failures === 1)
          context.logger.debug(`${this.member.subscription} cannot show itself: ${connectionError(error).message}`);
      }
    }
  }

  private async shutDown(): Promise<void> {
    const { table } = this.parts;
    this.alarm.wake();
    this.unlisten?.();
    const trackers = this.sources.all;
    this.sources.hold(trackers);
    await settledWithin(this.beating ?? Promise.resolve(), STOP_TIMEOUT);
    this.sources.drop(trackers);
    if (this.registered) await settledWithin(table.leave(this.member, false), STOP_TIMEOUT);
    await settledWithin(this.sources.close(), STOP_TIMEOUT);
  }
}
