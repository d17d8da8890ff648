import { type Clock, type ProviderLogger, settledWithin } from 'nestjs-eventing';
import { isLostConnection, NotConnectedError } from '../postgres.errors.js';
import type { Database } from '../sql/database.js';
import type { OutboxStatements } from './outbox.statements.js';
import type { CommitWatch } from './outbox.transaction.js';
import { Pause } from './pause.js';

export interface CommitNotifierOptions {
  readonly database: Database;
  readonly statements: OutboxStatements;
  readonly service: string;
  /** Milliseconds after which relays have looked by themselves. */
  readonly pollInterval: number;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

interface Watched {
  since: number;
  /** When it is asked for again. */
  due: number;
}

/** Milliseconds that a transaction has for its commit before it is asked for. */
const FIRST = 1;
/** Milliseconds between two statements, however many transactions there are. */
const REST = 5;
/** Milliseconds at most until one that stays open is asked for again. */
const LONGEST = 1_000;
/** Transactions that are remembered. More than that are open at one time only where the database answers nobody. */
const MOST = 1_000;
/** Milliseconds that a stop waits for a statement that is under way. */
const PATIENCE = 1_000;

/**
 * Notifies relays of transactions that have stored something, soon after they have committed. Not by these transactions: PostgreSQL lets
 * one that notifies commit at a time, so they would wait for each other's disk. Whoever runs a transaction may tell of its commit; else it is
 * asked for by its id. One statement does for all of them, and only latency depends on it: what is forgotten, or lost with the process,
 * relays find by looking.
 */
export class CommitNotifier implements CommitWatch {
  /** Until there is something to ask. */
  readonly #news: Pause;
  /** Between two things to do. */
  readonly #rest: Pause;
  readonly #open = new Map<string, Watched>();
  /** Something has committed, or more is open than is remembered. */
  #anyway = false;
  #running: Promise<void> | undefined;
  #stopping = false;
  #failing = false;

  constructor(private readonly options: CommitNotifierOptions) {
    this.#news = new Pause(options.clock);
    this.#rest = new Pause(options.clock);
  }

  /** Not with the first transaction: all that followed would run in its sender's asynchronous context. */
  start(): void {
    this.#running ??= this.#run();
  }

  readonly committed = (): void => {
    this.#anyway = true;
    this.#news.ring();
  };

  watch(xid: string): void {
    if (this.#stopping) return;
    const now = this.options.clock.now();
    if (this.#open.size < MOST || this.#open.has(xid)) this.#open.set(xid, { since: now, due: now });
    else this.#anyway = true;
    this.#news.ring();
  }

  /** Forgets what is open. Resolves when no statement runs, or the one that does takes too long. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#news.ring();
    this.#rest.ring();
    if (this.#running !== undefined) await settledWithin(this.#running, PATIENCE);
    this.#open.clear();
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      await this.#news.sleep(this.#untilDue());
      if (!this.#stopping && !this.#anyway) await this.#rest.sleep(FIRST);
      if (!this.#stopping) await this.#round();
      if (!this.#stopping) await this.#rest.sleep(REST);
    }
  }

  async #round(): Promise<void> {
    const now = this.options.clock.now();
    const asked = [...this.#open].filter(([, { due }]) => isDue(due, now));
    const anyway = this.#anyway;
    this.#anyway = false;
    if (asked.length === 0 && !anyway) return;
    let open: ReadonlySet<string> = new Set();
    try {
      open = await this.#notify(
        asked.map(([xid]) => xid),
        anyway,
      );
      this.#failing = false;
    } catch (error) {
      this.#inTrouble(error);
    }
    for (const [xid, watched] of asked) {
      // It may have stored more meanwhile.
      if (this.#open.get(xid) !== watched) continue;
      // As if it were new where the clock was set back.
      watched.since = Math.min(watched.since, now);
      const age = now - watched.since;
      if (!open.has(xid) || age > this.options.pollInterval) this.#open.delete(xid);
      else watched.due = now + Math.min(LONGEST, age / 2);
    }
  }

  /** @returns those that have not ended */
  async #notify(xids: readonly string[], anyway: boolean): Promise<ReadonlySet<string>> {
    const { database, statements, service } = this.options;
    const values = [service, statements.channel, `{${xids.join(',')}}`, anyway];
    const { rows } = await database.query<{ open: string }>(statements.notifyCommitted, values);
    return new Set(rows[0]?.open.split(','));
  }

  /** @returns milliseconds; Infinity where nothing is open */
  #untilDue(): number {
    if (this.#anyway) return 0;
    const now = this.options.clock.now();
    let least = Infinity;
    for (const { due } of this.#open.values()) least = Math.min(least, isDue(due, now) ? 0 : due - now);
    return least;
  }

  #inTrouble(error: unknown): void {
    // Whoever looks for rows says that the database is away. Anything else would stay unknown; it is said once.
    const away = error instanceof NotConnectedError || isLostConnection(error);
    if (this.#stopping || this.#failing || away) return;
    this.#failing = true;
    const why = error instanceof Error ? error.message : String(error);
    this.options.logger.warn(
      `Outbox: relays are not told of new events, and look every ${this.options.pollInterval} ms: ${why}`,
    );
  }
}

/** A clock that was set back makes nobody wait for the time that it repeats. */
const isDue = (due: number, now: number): boolean => due <= now || due > now + LONGEST;
