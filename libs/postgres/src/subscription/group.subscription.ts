import { randomBytes } from 'node:crypto';
import { Alarm, backoff, settledWithin, type Subscriber, type Subscription, type SubscriptionHandle, type Timer } from 'nestjs-eventing'; // prettier-ignore
import type { DeferredOwner } from '../deferred/deferred.table.js';
import { type Source, sourceName } from '../log/stored.event.js';
import { deferredWake, logWake, membersWake } from '../log/wake.ups.js';
import { connectionError, hopeless, lostLease } from '../postgres.errors.js';
import type { Changes } from './commit.loop.js';
import { fairShare } from './fair.share.js';
import type { Member, Shares } from './lease.table.js';
import type { SourceTracker } from './source.tracker.js';
import type { SubscriptionParts } from './subscription.parts.js';
import { SubscriptionTransactions } from './subscription.transactions.js';
import type { SourceWork } from './transaction.loop.js';
import { type StateSink, TrackedSources } from './tracked.sources.js';

const STOP_TIMEOUT = 3_000;
/** While another member waits for the source. */
const FLUSH_TIMEOUT = 2_000;
/** The kernel keeps to `rebalanceDrain` itself; this is for one that does not. */
const DRAIN_SLACK = 1_000;

/**
 * A subscription whose members, in any number of processes, share the sources and one position in each. One that is not durable has
 * positions as long as it has members.
 */
export class GroupSubscription implements SubscriptionHandle, StateSink {
  readonly commits = true;
  readonly ends = false;
  private readonly member: Member;
  private readonly owner: DeferredOwner;
  private readonly transactions: SubscriptionTransactions | undefined;
  private readonly sources: TrackedSources;
  private readonly alarm = new Alarm();
  /** Held and not released yet: listeners are at work. */
  private readonly leaving = new Set<SourceTracker>();
  private expiry: Timer | undefined;
  private beating: Promise<void> | undefined;
  private unlisten: (() => void) | undefined;
  private stopped: Promise<void> | undefined;
  private registered = false;

  constructor(
    private readonly parts: SubscriptionParts,
    private readonly subscription: Subscription,
    private readonly subscriber: Subscriber,
  ) {
    const { context } = parts;
    const name = `${context.service}.${subscription.name}`;
    const member = `${context.instance}:${randomBytes(4).toString('hex')}`;
    this.member = { subscription: name, member, channels: [...new Set(subscription.channels)], perProcess: false };
    this.owner = { target: name, member };
    if (subscription.transactional) this.transactions = new SubscriptionTransactions(parts, this.member);
    this.sources = new TrackedSources(parts, subscription, subscriber, this.owner, this);
  }

  /** Resolves when each source has a position, whoever fixed it. */
  async start(): Promise<void> {
    for (let attempt = 1; this.stopped === undefined; attempt++) {
      try {
        await this.register();
        break;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) this.parts.context.logger.warn(connectionError(error).message);
        await this.alarm.sleep(backoff(attempt, 100, 2_000));
      }
    }
    // Too late: it was stopped meanwhile.
    if (this.stopped !== undefined) return;
    this.sources.start();
    this.beating = this.keepBeating();
    this.unlisten = this.parts.wakeUps.add({
      wakes: new Map([
        ...this.member.channels.map((channel) => [logWake(channel), 'log'] as const),
        [deferredWake(this.member.subscription), 'deferred'],
        [membersWake(this.member.subscription), 'members'],
      ]),
      wake: (kind) => (kind === 'members' ? this.alarm.wake() : this.sources.look(kind)),
    });
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

  async write({ states, removals }: Changes): Promise<readonly SourceTracker[]> {
    const { database, leases, deferred } = this.parts;
    const writes = states.map(({ tracker, state }) => ({
      tracker,
      source: tracker.source,
      generation: tracker.generation,
      state,
    }));
    const lost = await leases.write(database(), this.member, writes);
    const held = removals.map((removal) => removal.tracker.these(removal.numbers));
    await deferred.remove(database(), this.owner, held);
    return lost.map(({ tracker }) => tracker);
  }

  get store(): StateSink['store'] {
    const { transactions } = this;
    if (transactions === undefined) return undefined;
    // When the next of what is deferred is due is not known yet.
    const looking = async <T>(works: readonly SourceWork[], done: Promise<T>): Promise<T> => {
      const lost = await done;
      if (works.some(({ settled }) => settled.deferrals.length > 0)) this.sources.look('deferred');
      return lost;
    };
    return {
      store: (number, works) => looking(works, transactions.store(number, works)),
      burn: (number, works) => looking(works, transactions.burn(number, works)),
    };
  }

  lost(trackers: readonly SourceTracker[]): void {
    // A late answer may be about a source that was gained anew meanwhile.
    const present = trackers.filter((tracker) => this.sources.of(tracker.source) === tracker);
    const names = this.sources.hold(present);
    this.sources.drop(present);
    if (present.length > 0) {
      const { code, message } = lostLease(
        this.member.subscription,
        present.map(({ name }) => name),
      );
      this.parts.context.logger.warn(`${code}: ${message}`);
      void this.subscriber.revoked(names).catch(() => undefined);
    }
    // Perhaps there are others to be had.
    this.alarm.wake();
  }

  private async register(): Promise<void> {
    const { channels, table } = this.parts;
    await channels.ensure(this.member.channels);
    const { durable, from } = this.subscription;
    await table.register(this.member, { durable, from }, this.allSources());
    this.registered = true;
  }

  private allSources(): Source[] {
    return this.member.channels.flatMap((channel) =>
      Array.from({ length: this.parts.channels.partitions(channel) ?? 0 }, (_, partition) => ({ channel, partition })),
    );
  }

  private async keepBeating(): Promise<void> {
    const { options, context } = this.parts;
    for (let failures = 0; this.stopped === undefined;) {
      try {
        await this.beat();
        failures = 0;
      } catch (error) {
        failures++;
        if (failures === 1)
          context.logger.warn(`${this.member.subscription} cannot renew its leases: ${connectionError(error).message}`);
      }
      const pause =
        failures === 0 ? options.heartbeatInterval : Math.min(options.heartbeatInterval, 50 * 2 ** failures);
      if (this.stopped === undefined) await this.alarm.sleep(pause);
    }
  }

  private async beat(): Promise<void> {
    const { leases } = this.parts;
    const shares = await this.renewed();
    if (this.stopped !== undefined) return;
    if (this.member.channels.some((channel) => !shares.sources.some((source) => source.channel === channel))) {
      // Somebody made the tables anew: begin as if for the first time.
      this.parts.channels.forget();
      await this.register();
    }
    const mine = new Map(shares.mine.map((source) => [sourceName(source), source.generation]));
    const lost = this.sources.all.filter((tracker) => mine.get(tracker.name) !== tracker.generation);
    if (lost.length > 0) this.lost(lost);
    const { claim, giveUp } = fairShare(this.member.member, await this.withoutUntracked(shares), this.kept());
    if (giveUp.length > 0) void this.giveUp(giveUp);
    if (claim.size === 0) return;
    for (const { source, generation, state } of await leases.claim(this.member, claim))
      if (this.stopped === undefined) this.sources.add(source, generation, state);
  }

  /** What a lease that had ended, or a release that failed, left behind under our name is nobody's. */
  private async withoutUntracked(shares: Shares): Promise<Shares> {
    // Those on their way out are released when what was deferred is given back.
    const leaving = new Set([...this.leaving].map(({ name }) => name));
    const untracked = shares.mine.filter(
      (source) => this.sources.of(source) === undefined && !leaving.has(sourceName(source)),
    );
    if (untracked.length === 0) return shares;
    await this.parts.leases.release(this.member, untracked);
    const names = new Set(untracked.map(sourceName));
    const sources = shares.sources.map((source) =>
      names.has(sourceName(source)) ? { ...source, owner: undefined } : source,
    );
    return { ...shares, sources };
  }

  private kept(): Source[] {
    return this.sources.all.filter((tracker) => !this.leaving.has(tracker)).map(({ source }) => source);
  }

  /** Another member gets them as soon as nobody works on them here. */
  private async giveUp(sources: readonly Source[]): Promise<void> {
    const { context, deferred, leases } = this.parts;
    const trackers = sources.map((source) => this.sources.of(source)).filter((tracker) => tracker !== undefined);
    for (const tracker of trackers) this.leaving.add(tracker);
    try {
      const names = this.sources.hold(trackers);
      await settledWithin(this.subscriber.revoked(names), context.rebalanceDrain + DRAIN_SLACK);
      for (const tracker of trackers) tracker.letGo();
      // Those that were lost meanwhile are not ours to release.
      const left = trackers.filter(({ isClosed }) => !isClosed);
      await this.sources.commitLoop.flush(left, this.sources.deferredOf(left), FLUSH_TIMEOUT);
      await settledWithin(this.sources.quiet(), FLUSH_TIMEOUT);
      await deferred.giveBack(this.owner, this.sources.drop(left));
      await leases.release(
        this.member,
        left.map(({ source }) => source),
      );
    } catch (error) {
      // The next heartbeat releases them.
      this.sources.drop(trackers);
      const why = connectionError(error).message;
      context.logger.warn(`${this.member.subscription} gives sources up without its last position: ${why}`);
    } finally {
      for (const tracker of trackers) this.leaving.delete(tracker);
    }
  }

  /** The lease is counted from when it was asked for, and in elapsed time: a clock that jumps ends none. */
  private async renewed(): Promise<Shares> {
    const { leases, options, context } = this.parts;
    // An answer that is there already, in a process that was busy for so long, is seen before.
    const expiry: Timer = context.clock.setTimeout(
      () => setImmediate(() => (this.expiry === expiry ? this.expire() : undefined)),
      options.leaseTime,
    );
    try {
      const shares = await leases.beat(this.member);
      this.expiry?.cancel();
      this.expiry = expiry;
      if (this.stopped !== undefined) expiry.cancel();
      return shares;
    } catch (error) {
      expiry.cancel();
      throw error;
    }
  }

  /** Who was suspended, or cut off, for so long has nothing any more: another may work on it. */
  private expire(): void {
    const trackers = this.sources.all;
    if (trackers.length === 0 || this.stopped !== undefined) return;
    this.lost(trackers);
  }

  private async shutDown(): Promise<void> {
    const { deferred, table, context } = this.parts;
    this.alarm.wake();
    this.unlisten?.();
    this.expiry?.cancel();
    const trackers = this.sources.all;
    this.sources.hold(trackers);
    for (const tracker of trackers) tracker.letGo();
    const end = context.clock.now() + STOP_TIMEOUT;
    const left = (): number => Math.max(1, end - context.clock.now());
    await settledWithin(
      this.sources.commitLoop.flush(trackers, this.sources.deferredOf(trackers), STOP_TIMEOUT / 2),
      left(),
    );
    await settledWithin(this.beating ?? Promise.resolve(), left());
    await settledWithin(this.sources.quiet(), left());
    const held = this.sources.drop(this.sources.all);
    const leave = async (): Promise<void> => {
      await deferred.giveBack(this.owner, held);
      await table.leave(this.member, this.subscription.durable);
    };
    if (this.registered) await settledWithin(leave(), left());
    await settledWithin(this.sources.close(), left());
  }
}
