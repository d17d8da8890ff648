import type { Clock } from 'nestjs-eventing';
import type { Row, Sql } from '../sql/database.js';
import type { OutboxStatements } from './outbox.statements.js';

export interface LeaseOptions {
  readonly service: string;
  readonly provider: string;
  /** This process. */
  readonly holder: string;
  /** Milliseconds. */
  readonly lease: number;
  readonly clock: Clock;
}

/**
 * The right to publish for one provider, by the clock of the database: whatever the clock of this process does, at most one process has
 * it. Everything that is done under it names its token.
 */
export class RelayLease {
  /** When it was asked for, which is before it was given. */
  #renewedAt: number;
  #lost = false;

  private constructor(
    private readonly sql: Sql,
    private readonly statements: OutboxStatements,
    private readonly options: LeaseOptions,
    private readonly token: string,
    askedAt: number,
  ) {
    this.#renewedAt = askedAt;
  }

  /** `undefined` where another process has it. */
  static async acquire(sql: Sql, statements: OutboxStatements, options: LeaseOptions): Promise<RelayLease | undefined> {
    const { service, provider, holder, lease } = options;
    const askedAt = options.clock.now();
    const { rows } = await sql.query<{ token: string }>(statements.acquire, [service, provider, holder, lease]);
    const [row] = rows;
    return row === undefined ? undefined : new RelayLease(sql, statements, options, row.token, askedAt);
  }

  get lost(): boolean {
    return this.#lost;
  }

  /** Runs a statement that begins with the four values of the lease and renews it. No row: it is lost, and nothing was done. */
  async run(text: string, ...values: readonly unknown[]): Promise<void> {
    const { service, provider, lease, clock } = this.options;
    const askedAt = clock.now();
    const { rows } = await this.sql.query(text, [service, provider, this.token, lease, ...values]);
    if (rows.length === 0) this.#lost = true;
    else this.#renewedAt = askedAt;
  }

  /** Runs a query that begins with three values of the lease, and renews nothing. No row: it is lost. */
  async read<R extends Row>(text: string, ...values: readonly unknown[]): Promise<readonly R[]> {
    const { service, provider } = this.options;
    const { rows } = await this.sql.query<R>(text, [service, provider, this.token, ...values]);
    if (rows.length === 0) this.#lost = true;
    return rows;
  }

  /** Renews it when it is time. Whatever the clock does in between: a jump costs a question to the database, and no more. */
  async stillHeld(): Promise<boolean> {
    const { clock, lease } = this.options;
    const since = clock.now() - this.#renewedAt;
    if (!this.#lost && (since < 0 || since > lease / 3)) await this.run(this.statements.renew);
    return !this.#lost;
  }

  /** Renews it while `work` takes its time. */
  async during<T>(work: Promise<T>): Promise<T> {
    const { clock, lease } = this.options;
    // A database that is away loses the lease by itself.
    const beat = (): void => void this.run(this.statements.renew).catch(() => undefined);
    let timer = clock.setTimeout(function again() {
      beat();
      timer = clock.setTimeout(again, lease / 3);
    }, lease / 3);
    try {
      return await work;
    } finally {
      timer.cancel();
    }
  }

  /** Others need not wait. */
  async release(): Promise<void> {
    const { service, provider } = this.options;
    await this.sql.query(this.statements.release, [service, provider, this.token]);
  }
}
