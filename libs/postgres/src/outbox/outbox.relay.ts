import { backoff, type Clock, type ProviderLogger } from 'nestjs-eventing';
import type { Database, Row } from '../sql/database.js';
import type { ResolvedOutboxOptions } from './outbox.options.js';
import type { OutboxStatements } from './outbox.statements.js';
import { Pause } from './pause.js';
import { ReadFloor } from './read.floor.js';
import { type BatchOutcome, type Publish, RelayBatch, type RelayRow } from './relay.batch.js';
import { RelayLease } from './relay.lease.js';

export interface RelayOptions {
  readonly database: Database;
  readonly statements: OutboxStatements;
  readonly options: ResolvedOutboxOptions;
  readonly service: string;
  readonly provider: string;
  /** This process. */
  readonly instance: string;
  readonly publish: Publish;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

interface LookRow extends Row {
  // Of the first row.
  readonly sweep: string;
  readonly xmin: string;
  readonly xid: string;
  /** Milliseconds until the next one may be tried again. */
  readonly due_in: number | null;
  readonly position: string | null;
}

/** Longest pause in milliseconds while database or broker are away. */
const LONGEST_PAUSE = 10_000;

/**
 * Publishes what is in the outbox for one provider, in the order of positions, for as long as this process has the lease. Every pass:
 * look, publish, write down what became of it. A crash between the last two publishes again, under the same ids.
 */
export class OutboxRelay {
  readonly #pause: Pause;
  #running: Promise<void> | undefined;
  #stopping = false;
  #lease: RelayLease | undefined;
  #floor = new ReadFloor();
  #sweep: string | undefined;
  #troubles = 0;
  /** Milliseconds until there is something to do that nobody tells of. */
  #idle = 0;

  constructor(private readonly relay: RelayOptions) {
    this.#pause = new Pause(relay.clock);
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Something was stored. */
  wake(): void {
    // Who has no lease would look in vain.
    if (this.#lease !== undefined) this.#pause.ring();
  }

  /** Ends after the round that is under way, and lets others go on. Never rejects. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#pause.ring();
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#stopping) {
      let sleep: number;
      try {
        sleep = await this.#pass();
      } catch (error) {
        // What was in hand may be in the table still.
        this.#floor.reset();
        sleep = this.#inTrouble(`the outbox cannot be read`, error);
      }
      if (sleep > 0 && !this.#stopping) await this.#pause.sleep(sleep);
    }
    await this.#lease?.release().catch(() => undefined);
    this.#lease = undefined;
  }

  /** @returns milliseconds to sleep, unless woken */
  async #pass(): Promise<number> {
    const { options, database, statements, service, provider, instance, clock } = this.relay;
    const { pollInterval, lease } = options;
    if (this.#lease === undefined || this.#lease.lost) {
      if (this.#lease?.lost === true) this.#say('warn', 'lost the lease of the outbox: another process goes on');
      const holder = { service, provider, holder: instance, lease, clock };
      this.#lease = await RelayLease.acquire(database, statements, holder);
      if (this.#lease === undefined) return Math.min(pollInterval, lease / 3);
      this.#floor = new ReadFloor();
    }
    const rows = await this.#look(this.#lease);
    if (rows === undefined) return 0;
    if (rows.length === 0) return this.#idle;
    const held = this.#lease;
    const batch = new RelayBatch(rows, options.maxInFlightPerKey, (messages) =>
      held.during(this.relay.publish(messages)),
    );
    // Not to know counts as no: then others may be at it.
    const goOn = async (): Promise<boolean> => !this.#stopping && (await held.stillHeld().catch(() => false));
    return this.#settle(held, rows, await batch.run(goOn));
  }

  /** @returns `undefined` where the lease is lost */
  async #look(lease: RelayLease): Promise<readonly RelayRow[] | undefined> {
    const { options, statements } = this.relay;
    const { batch, maxBatchBytes, parkedKeys, pollInterval } = options;
    const values = [String(this.#floor.position), batch, maxBatchBytes];
    if (!(await lease.stillHeld())) return undefined;
    const found = await lease.read<LookRow>(statements.next(parkedKeys), ...values);
    const [first] = found;
    if (first === undefined) return undefined;
    if (first.sweep !== this.#sweep) {
      // What was passed by is looked at the next time.
      const known = this.#sweep !== undefined;
      this.#sweep = first.sweep;
      this.#floor.reset();
      if (known && first.position === null) return this.#look(lease);
    }
    const rows = first.position === null ? [] : (found as readonly Row[] as readonly (Row & RelayRow)[]);
    const last = rows.findLast((row) => row.state === 'waiting');
    this.#floor.note({
      last: last === undefined ? undefined : BigInt(last.position),
      xmin: BigInt(first.xmin),
      xid: BigInt(first.xid),
    });
    // One that is due and was not given waits behind another, for nobody knows how long.
    const due = first.due_in !== null && first.due_in > 0 ? Math.ceil(first.due_in) : Infinity;
    this.#idle = Math.min(pollInterval, options.lease / 3, due);
    return rows;
  }

  async #settle(lease: RelayLease, rows: readonly RelayRow[], outcome: BatchOutcome): Promise<number> {
    const { statements, options } = this.relay;
    const { sent, failed, away } = outcome;
    if (sent.length > 0)
      await lease.run(statements.sent(options.retention > 0), `{${sent.map(({ position }) => position).join(',')}}`);
    if (failed.length > 0) await lease.run(statements.failed, JSON.stringify(failed.map((one) => this.#failure(one))));
    const done = new Set([...sent, ...failed.map(({ row }) => row)]);
    for (const row of rows) if (!done.has(row) || row.state === 'retrying') this.#floor.lower(BigInt(row.position));
    if (away !== undefined) return this.#inTrouble('the provider cannot be reached', away);
    this.#troubles = 0;
    return 0;
  }

  #failure({ row, error, patient }: BatchOutcome['failed'][number]): object {
    const { retry } = this.relay.options;
    const attempts = row.attempts + 1;
    const parked = !patient && attempts >= retry.attempts;
    const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
    const event = `${row.id} for "${row.channel}"`;
    if (parked)
      this.#say(
        'error',
        `gave up the event ${event} after ${attempts} attempts; outbox.resend() sends it again: ${error.message}`,
      );
    else this.#say('warn', `could not publish the event ${event} and tries again: ${error.message}`);
    return {
      position: row.position,
      attempts: patient ? row.attempts : attempts,
      delay: parked ? null : retry.backoff.delayAfter(attempts),
      error: JSON.stringify({ name: readable(error.name), message: readable(error.message), code }),
    };
  }

  /** @returns milliseconds to wait */
  #inTrouble(what: string, error: unknown): number {
    this.#troubles++;
    // Said once, and not with every attempt.
    if (this.#troubles === 1)
      this.#say('warn', `${what}, and is tried again: ${error instanceof Error ? error.message : String(error)}`);
    return backoff(this.#troubles, 100, LONGEST_PAUSE);
  }

  #say(level: 'warn' | 'error', text: string): void {
    this.relay.logger[level](`Outbox of "${this.relay.provider}": ${text}`);
  }
}

/** As PostgreSQL's JSON can give it back as text: nothing of a cut pair, and no NUL. */
function readable(text: string): string {
  return text.slice(0, 2_000).toWellFormed().replaceAll('\0', '\ufffd');
}
