import { backoff, type Clock, type Timer } from 'nestjs-eventing';
import type { DeferredTracker } from '../deferred/deferred.tracker.js';
import { isLostConnection, mayPass, NotConnectedError, reasonOf } from '../postgres.errors.js';
import type { PositionLoop } from './commit.loop.js';
import type { Settled } from './settled.ledger.js';
import type { SourceState, SourceTracker } from './source.tracker.js';

/** What one source has to commit: all of it or nothing. */
export interface SourceWork {
  readonly tracker: SourceTracker;
  readonly state: SourceState;
  readonly settled: Settled;
  /** Deferred messages that are settled. */
  readonly removals: readonly number[];
}

/** Where transactions go. */
export interface TransactionStore {
  /** Does nothing where that number was stored before. @returns the sources that belong to another by now */
  store(number: number, works: readonly SourceWork[]): Promise<readonly SourceTracker[]>;
  /**
   * Settles the fate of a transaction in doubt, for good, whenever it may arrive: takes that number and the next one. It may be asked again.
   * @returns as `store`, where it was stored; undefined where it was not, and never will be
   */
  burn(number: number, works: readonly SourceWork[]): Promise<readonly SourceTracker[] | undefined>;
}

export interface TransactionLoopOptions {
  /** Milliseconds between the beginnings of two transactions, while there is work. */
  readonly interval: number;
  /** Outputs of one transaction, and their bytes, unless a single source has more. */
  readonly most: { readonly messages: number; readonly bytes: number };
  readonly clock: Clock;
  /** Of everything that this process has. */
  trackers(): Iterable<SourceTracker>;
  deferredOf(tracker: SourceTracker): DeferredTracker | undefined;
  readonly store: TransactionStore;
  lost(trackers: readonly SourceTracker[]): void;
  /** Told once for each reason until it works again. */
  failed(error: unknown): void;
  /** The database does not take what follows from this source; told once for each reason until it does. */
  refused(tracker: SourceTracker, error: unknown): void;
}

interface Waiter {
  readonly tracker: SourceTracker;
  readonly resolve: (written: boolean) => void;
}

interface Transaction {
  readonly number: number;
  readonly works: readonly SourceWork[];
  readonly waiters: readonly Waiter[];
  /** It was sent, and nobody knows whether it was stored. */
  mayBeStored: boolean;
  /** In doubt, and refused when it was sent again: it is not sent once more, its number is burnt instead. */
  refusedBy: unknown;
}

/** A source whose work was refused: it is tried alone, so that the others go on. */
interface Refusal {
  count: number;
  isDue: boolean;
  /** Reasons. */
  readonly told: Set<string>;
  timer: Timer | undefined;
}

/**
 * Where an exactly-once subscription commits: the positions of all its sources and what follows from what was settled, together, one
 * transaction after the other. One whose fate is not known is sent again as it was, before any other; where it is refused then, its number
 * is burnt, so that its work can be divided without being stored twice.
 */
export class TransactionLoop implements PositionLoop {
  private waiters: Waiter[] = [];
  private readonly refusals = new Map<SourceTracker, Refusal>();
  private pending: Transaction | undefined;
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;
  /** For which the last transaction had no room: first in the next. */
  private leftOut: readonly SourceTracker[] = [];
  private numbers = 0;
  private begun = 0;
  private failures = 0;
  /** Reasons of failures, since it worked. */
  private readonly told = new Set<string>();
  private lastError = new Error('there was no time for it');
  private stopped = false;

  constructor(private readonly options: TransactionLoopOptions) {}

  changed(): void {
    if (this.timer === undefined && this.running === undefined) this.arm();
  }

  commitNow(tracker: SourceTracker): Promise<boolean> {
    return new Promise((resolve) => {
      this.waiters.push({ tracker, resolve });
      if (this.running !== undefined) return;
      // Sources that were gained together ask together.
      if (this.failures === 0) queueMicrotask(() => this.fire());
      else this.arm();
    });
  }

  async flush(
    trackers: readonly SourceTracker[],
    _deferred: readonly DeferredTracker[],
    patience: number,
  ): Promise<void> {
    const end = Date.now() + patience;
    for (let attempt = 1; ; attempt++) {
      await this.running;
      if (this.pending === undefined && !trackers.some((tracker) => this.hasWork(tracker))) return;
      for (const tracker of trackers) this.tryAgain(tracker);
      const before = this.numbers;
      this.fire();
      await this.running;
      if (this.pending === undefined && this.numbers > before && this.refusals.size === 0) continue;
      const pause = backoff(attempt, 20, 200);
      if (this.stopped || Date.now() + pause > end) throw this.lastError;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
    for (const { timer } of this.refusals.values()) timer?.cancel();
    for (const { resolve } of [...this.waiters.splice(0), ...(this.pending?.waiters ?? [])]) resolve(false);
  }

  private arm(): void {
    if (this.timer !== undefined || this.running !== undefined || this.stopped) return;
    const { clock, interval } = this.options;
    const rest = Math.max(0, Math.min(interval, this.begun + interval - clock.now()));
    this.timer = clock.setTimeout(() => this.fire(), this.failures > 0 ? backoff(this.failures, 50, 2_000) : rest);
  }

  private fire(): void {
    this.timer?.cancel();
    this.timer = undefined;
    if (this.running !== undefined || this.stopped) return;
    this.begun = this.options.clock.now();
    this.running = this.run().finally(() => {
      this.running = undefined;
      const isAwaited = this.waiters.some(({ tracker }) => !this.refusals.has(tracker));
      if (isAwaited && this.failures === 0) this.fire();
      // Also where nothing is to be stored: what failed may have been closed meanwhile, and who waits may need no transaction.
      else if (isAwaited || this.pending !== undefined || this.next().length > 0) this.arm();
    });
  }

  private async run(): Promise<void> {
    const transaction = this.pending ?? this.form();
    if (transaction === undefined) return;
    this.pending = transaction;
    const { number, works, refusedBy } = transaction;
    const { store } = this.options;
    try {
      const lost = await (refusedBy === undefined ? store.store(number, works) : store.burn(number, works));
      this.pending = undefined;
      this.failures = 0;
      this.told.clear();
      if (lost === undefined) this.divide(transaction, refusedBy);
      else this.stored(transaction, lost);
    } catch (error) {
      if (error instanceof Error) this.lastError = error;
      this.judge(transaction, error);
    }
  }

  private stored({ works, waiters }: Transaction, lost: readonly SourceTracker[]): void {
    for (const work of works) if (!lost.includes(work.tracker)) this.confirm(work);
    for (const { tracker, resolve } of waiters) resolve(!tracker.isClosed && !lost.includes(tracker));
    if (lost.length > 0) this.options.lost(lost);
  }

  private confirm({ tracker, state, settled, removals }: SourceWork): void {
    this.refusals.get(tracker)?.timer?.cancel();
    this.refusals.delete(tracker);
    tracker.confirm(state);
    tracker.ledger?.committed(settled);
    this.options.deferredOf(tracker)?.confirm(removals);
    // The ledger may have been full.
    tracker.feed();
  }

  private judge(transaction: Transaction, error: unknown): void {
    transaction.mayBeStored ||= isLostConnection(error) && !(error instanceof NotConnectedError);
    const isOpen = transaction.works.some(({ tracker }) => !tracker.isClosed);
    if (isOpen && (mayPass(error) || transaction.mayBeStored)) {
      // Under its number: in other pieces, with numbers of their own, it might be stored again.
      this.failures++;
      if (!mayPass(error) && transaction.refusedBy === undefined) {
        transaction.refusedBy = error;
        // The burning takes the next one too.
        this.numbers++;
      }
      const reason = reasonOf(error);
      if (!this.told.has(reason)) this.options.failed(error);
      this.told.add(reason);
      return;
    }
    this.pending = undefined;
    this.divide(transaction, error);
  }

  /** Each of its sources is tried alone. */
  private divide(transaction: Transaction, error: unknown): void {
    const works = transaction.works.filter(({ tracker }) => !tracker.isClosed);
    for (const waiter of transaction.waiters) {
      if (waiter.tracker.isClosed || this.stopped) waiter.resolve(false);
      else this.waiters.push(waiter);
    }
    for (const { tracker } of works) this.refuse(tracker, error, works.length === 1);
  }

  private refuse(tracker: SourceTracker, error: unknown, alone: boolean): void {
    const refusal = this.refusals.get(tracker) ?? { count: 0, isDue: true, told: new Set(), timer: undefined };
    this.refusals.set(tracker, refusal);
    refusal.isDue = !alone;
    if (!alone) return;
    refusal.count++;
    const reason = reasonOf(error);
    if (!refusal.told.has(reason)) this.options.refused(tracker, error);
    refusal.told.add(reason);
    refusal.timer = this.options.clock.setTimeout(() => this.tryAgain(tracker), backoff(refusal.count, 100, 5_000));
  }

  private tryAgain(tracker: SourceTracker): void {
    const refusal = this.refusals.get(tracker);
    if (refusal === undefined) return;
    refusal.isDue = true;
    this.changed();
  }

  private form(): Transaction | undefined {
    const trackers = this.next();
    const works = trackers.map((tracker): SourceWork => {
      const removals = this.options.deferredOf(tracker)?.changes() ?? [];
      return { tracker, state: tracker.state(), settled: tracker.ledger?.present() ?? NOTHING, removals };
    });
    const served: Waiter[] = [];
    this.waiters = this.waiters.filter((waiter) => {
      if (trackers.includes(waiter.tracker)) served.push(waiter);
      // What is on record already needs no transaction.
      else if (this.hasWork(waiter.tracker)) return true;
      else waiter.resolve(!waiter.tracker.isClosed);
      return false;
    });
    if (works.length === 0) return undefined;
    return { number: ++this.numbers, works, waiters: served, mayBeStored: false, refusedBy: undefined };
  }

  /** The sources of the next transaction: one that was refused alone, or as many of the others as one may hold. */
  private next(): SourceTracker[] {
    for (const [tracker, refusal] of this.refusals) {
      if (tracker.isClosed) {
        refusal.timer?.cancel();
        this.refusals.delete(tracker);
      } else if (refusal.isDue) return [tracker];
    }
    const { messages, bytes } = this.options.most;
    const candidates = new Set([...this.leftOut, ...this.options.trackers()]);
    const ready = [...candidates].filter((tracker) => !this.refusals.has(tracker) && this.hasWork(tracker));
    let [counted, size] = [0, 0];
    const room = ready.findIndex(({ ledger }, index) => {
      counted += ledger?.size ?? 0;
      size += ledger?.bytes ?? 0;
      return index > 0 && (counted > messages || size > bytes);
    });
    this.leftOut = room < 0 ? [] : ready.slice(room);
    return room < 0 ? ready : ready.slice(0, room);
  }

  private hasWork(tracker: SourceTracker): boolean {
    if (tracker.isClosed) return false;
    if (tracker.ledger !== undefined && tracker.ledger.size > 0) return true;
    return tracker.changes() !== undefined || (this.options.deferredOf(tracker)?.changes().length ?? 0) > 0;
  }
}

const NOTHING: Settled = { outputs: [], letters: [], deferrals: [] };
