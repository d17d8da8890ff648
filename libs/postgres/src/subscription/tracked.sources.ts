import type { Delivery, Settlement, Subscriber, Subscription } from 'nestjs-eventing';
import { DeferredLoop } from '../deferred/deferred.loop.js';
import type { DeferredOwner, HeldMessages } from '../deferred/deferred.table.js';
import { type DeferredDelivery, type DeferredHost, DeferredTracker } from '../deferred/deferred.tracker.js';
import type { ReadFrom, ReadResult } from '../log/event.reader.js';
import { type Source, sourceName } from '../log/stored.event.js';
import { connectionError, refusal } from '../postgres.errors.js';
import { CommitLoop, type Changes, type PositionLoop } from './commit.loop.js';
import type { LogDelivery } from './log.delivery.js';
import { ReadLoop } from './read.loop.js';
import { SettledLedger } from './settled.ledger.js';
import { deferralOf, type SourceState, SourceTracker, type TrackerHost } from './source.tracker.js';
import type { SubscriptionParts } from './subscription.parts.js';
import { TransactionLoop, type TransactionStore } from './transaction.loop.js';

/** Where states go. */
export interface StateSink {
  /** False where positions are in memory alone. */
  readonly commits: boolean;
  /** A replay, which is over when all up to its end is settled. */
  readonly ends: boolean;
  /** Of a replay that has begun: the snapshot up to which it reads. */
  readonly until?: string | undefined;
  /** @returns the sources that belong to another by now */
  write(changes: Changes): Promise<readonly SourceTracker[]>;
  /** The same with what follows from it, in one transaction; undefined where nothing goes together. */
  readonly store?: TransactionStore | undefined;
  lost(trackers: readonly SourceTracker[]): void;
}

/** Longest time in milliseconds between two transactions: what others wait for is not visible before. */
const LONGEST_INTERVAL = 100;

/** The sources that a subscription has in this process, from reading to settling. */
export class TrackedSources implements TrackerHost, DeferredHost {
  readonly window: number;
  readonly commits: boolean;
  readonly commitLoop: PositionLoop;
  readonly ends: boolean;
  /** Resolves when all of a replay is settled, or when it is closed: to `incomplete` where not all of it was. */
  readonly drained: Promise<'incomplete' | void>;
  private drain: (end?: 'incomplete') => void = () => undefined;
  /** Retention has overtaken a replay. */
  private isCut = false;
  private readonly trackers = new Map<string, SourceTracker>();
  private readonly deferred = new Map<string, DeferredTracker>();
  private readonly readLoop: ReadLoop;
  private readonly deferredLoop: DeferredLoop;
  private isPaused = false;

  constructor(
    private readonly parts: SubscriptionParts,
    subscription: Subscription,
    private readonly subscriber: Subscriber,
    /** Under which its deferred messages are kept. */
    private readonly owner: DeferredOwner,
    private readonly sink: StateSink,
  ) {
    const { target } = owner;
    this.window = Math.max(1, subscription.window);
    this.commits = sink.commits;
    this.ends = sink.ends;
    this.drained = new Promise((resolve) => (this.drain = resolve));
    const { options, context, deferred } = parts;
    const failed = (what: string) => (error: unknown) =>
      context.logger.warn(`${what} of ${target} fails, and is tried again: ${connectionError(error).message}`);
    this.commitLoop = this.loop(failed('Writing down the position'));
    this.readLoop = new ReadLoop({
      pollInterval: options.pollInterval,
      readBytes: options.readBytes,
      trackers: () => this.trackers.values(),
      read: (wanted) => this.read(wanted),
      failed: failed('Reading'),
    });
    this.deferredLoop = new DeferredLoop({
      pollInterval: options.pollInterval,
      trackers: () => this.deferred.values(),
      take: (takes) => deferred.take(owner, takes),
      giveBack: (held) => deferred.giveBack(owner, held),
      failed: failed('Reading what was deferred'),
    });
  }

  start(): void {
    this.readLoop.start();
    this.deferredLoop.start();
  }

  get paused(): boolean {
    return this.isPaused;
  }

  get all(): SourceTracker[] {
    return [...this.trackers.values()];
  }

  /** Of these sources. */
  deferredOf(trackers: readonly SourceTracker[]): DeferredTracker[] {
    return trackers
      .filter((tracker) => this.trackers.get(tracker.name) === tracker)
      .map(({ name }) => this.deferred.get(name))
      .filter((tracker) => tracker !== undefined);
  }

  of(source: Source): SourceTracker | undefined {
    return this.trackers.get(sourceName(source));
  }

  add(source: Source, generation: number, start: SourceState): void {
    const ledger = this.sink.store === undefined ? undefined : new SettledLedger();
    const tracker = new SourceTracker(source, generation, this, start, ledger);
    this.trackers.set(tracker.name, tracker);
    this.deferred.set(tracker.name, new DeferredTracker(source, generation, this, ledger));
    this.readLoop.wake();
    this.deferredLoop.wake();
  }

  /** No more deliveries of these; settlements still count. @returns their names, those of what was deferred too */
  hold(trackers: readonly SourceTracker[]): string[] {
    const held = [...trackers, ...this.deferredOf(trackers)];
    for (const tracker of held) tracker.hold();
    return held.map(({ name }) => name);
  }

  /**
   * After `hold`, before `drop`: resolves when nothing more of what is deferred comes into hand. A statement may be at work that takes some, and what is
   * taken and not given back looks to the next owner as if it had brought this process down.
   */
  quiet(): Promise<void> {
    return this.deferredLoop.idle();
  }

  /** They are another's: settlements have no effect any more. @returns the deferred messages that were in hand */
  drop(trackers: readonly SourceTracker[]): HeldMessages[] {
    const held = this.deferredOf(trackers).map((tracker) => tracker.close());
    for (const tracker of trackers) {
      tracker.close();
      // It may have been gained again meanwhile.
      if (this.trackers.get(tracker.name) !== tracker) continue;
      this.trackers.delete(tracker.name);
      this.deferred.delete(tracker.name);
    }
    return held;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    for (const tracker of this.trackers.values()) tracker.feed();
    for (const tracker of this.deferred.values()) tracker.feed();
  }

  /** What is stored in these sources beyond what is settled. */
  async lag(): Promise<number> {
    const { reader, database } = this.parts;
    const trackers = this.all;
    if (trackers.length === 0) return 0;
    const from = trackers.map((tracker) => ({ ...tracker.source, ...tracker.position }));
    const settled = trackers.reduce((sum, tracker) => sum + tracker.donePositions().length, 0);
    try {
      return Math.max(0, (await reader.count(database(), from, this.sink.until)) - settled);
    } catch (error) {
      throw connectionError(error);
    }
  }

  /** Something was stored, or may have been. */
  look(what: 'log' | 'deferred'): void {
    if (what === 'deferred') {
      this.deferredLoop.wake();
      return;
    }
    for (const tracker of this.trackers.values()) tracker.look();
    this.readLoop.wake();
  }

  async close(): Promise<void> {
    this.drain('incomplete');
    this.commitLoop.stop();
    this.drop(this.all);
    await Promise.all([this.readLoop.stop(), this.deferredLoop.stop()]);
  }

  private async read(wanted: readonly ReadFrom[]): Promise<ReadResult> {
    const { reader, database, context } = this.parts;
    const result = await reader.read(database(), wanted, this.sink.until);
    if (result.isCut && !this.isCut) {
      this.isCut = true;
      context.logger.warn(`EVT_POSITION: ${this.owner.target} leaves out what retention deleted before it was read.`);
    }
    return result;
  }

  private loop(failed: (error: unknown) => void): PositionLoop {
    const { sink, parts } = this;
    const { options, context } = parts;
    const trackers = (): Iterable<SourceTracker> => (sink.commits ? this.trackers.values() : []);
    const common = {
      clock: context.clock,
      trackers,
      lost: (lost: readonly SourceTracker[]) => sink.lost(lost),
      failed,
    };
    const { store } = sink;
    if (store === undefined)
      return new CommitLoop({
        ...common,
        interval: options.commitInterval,
        deferred: () => this.deferred.values(),
        write: (changes) => sink.write(changes),
      });
    return new TransactionLoop({
      ...common,
      interval: Math.min(options.commitInterval, LONGEST_INTERVAL),
      most: { messages: options.batchSize, bytes: options.batchBytes },
      deferredOf: (tracker) => this.deferredOf([tracker])[0],
      store,
      refused: ({ name }, error) =>
        context.logger.error(
          `${refusal(error, name).message} ${this.owner.target} stands still at ${name} until it does; nothing is lost.`,
        ),
    });
  }

  // what sources ask for

  deliver(delivery: Delivery): void {
    this.subscriber.deliver(delivery);
  }

  changed(): void {
    this.commitLoop.changed();
    if (!this.ends) return;
    const all = [...this.trackers.values(), ...this.deferred.values()];
    if (all.every(({ isDrained }) => isDrained)) this.drain(this.isCut ? 'incomplete' : undefined);
  }

  commitNow(tracker: SourceTracker): Promise<boolean> {
    return this.commitLoop.commitNow(tracker);
  }

  hungry(): void {
    this.readLoop.wake();
  }

  deferredHungry(): void {
    this.deferredLoop.wake();
  }

  async move(delivery: LogDelivery, settlement: Settlement): Promise<void> {
    const { deadLetters, deferred, context } = this.parts;
    if (settlement.kind === 'reject') {
      await deadLetters.append(settlement.letter);
    } else if (settlement.kind === 'defer') {
      const { message, notBefore } = deferralOf(delivery, settlement);
      const source = { channel: delivery.channel, partition: partitionOf(delivery) };
      await deferred.add(this.owner.target, source, message, waitUntil(notBefore, context.clock.now()));
      this.deferred.get(delivery.source)?.expect();
      this.deferredLoop.wake();
    }
  }

  async moveDeferred(delivery: DeferredDelivery, settlement: Settlement): Promise<void> {
    const { deadLetters, deferred, context } = this.parts;
    if (settlement.kind === 'reject') await deadLetters.append(settlement.letter);
    else if (settlement.kind === 'defer') {
      const { attempt, notBefore } = settlement;
      await deferred.again(this.owner, delivery.held, attempt, waitUntil(notBefore, context.clock.now()));
    }
  }
}

function partitionOf({ source }: Delivery): number {
  return Number(source.slice(source.lastIndexOf('/') + 1));
}

/** Our clock and the database's may differ: what counts is how long from now. */
export function waitUntil(notBefore: number, now: number): number {
  return Math.max(0, Math.ceil(notBefore - now) + 1);
}
