import type { Clock, Timer } from 'nestjs-eventing';
import type { LogRetention } from '../postgres.options.js';
import type { Database, Sql } from '../sql/database.js';
import type { Source } from './stored.event.js';

export interface HousekeepingOptions {
  readonly schema: string;
  readonly retention: LogRetention | undefined;
  /** Milliseconds. */
  readonly interval: number;
  /** After which a process that is alive has shown itself, in milliseconds. */
  readonly leaseTime: number;
  readonly clock: Clock;
  failed(error: unknown): void;
}

/** Events deleted by one statement. */
const BATCH = 5_000;
/** How long the number of a publisher's last batch is kept: no statement is sent again after so long. */
const PUBLISHER_AGE = '1 day';
/** How long a process that shows no sign of life keeps what waits for it alone. */
const GONE = '10 minutes';
/** How long it is missed by then before it is forgotten: after an outage, all others may come back before it does. Milliseconds. */
const LEAST_MISSED = 60_000;

/** Deletes what nobody needs any more, in small steps. Of all processes, one does it at a time. */
export class Housekeeping {
  private timer: Timer | undefined;
  private running: Promise<void> | undefined;
  private failures = 0;
  private stopped = false;

  constructor(
    private readonly database: () => Database,
    private readonly options: HousekeepingOptions,
  ) {}

  start(): void {
    if (this.stopped || this.timer !== undefined) return;
    this.timer = this.options.clock.setTimeout(
      () => {
        this.timer = undefined;
        this.running = this.run()
          .then(
            () => void (this.failures = 0),
            (error: unknown) => {
              this.failures++;
              if (this.failures === 1 && !this.stopped) this.options.failed(error);
            },
          )
          .finally(() => this.start());
      },
      // Processes that began together do not come together.
      this.options.interval * (0.75 + Math.random() / 2),
    );
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.timer?.cancel();
    await this.running;
  }

  private async run(): Promise<void> {
    await this.alone((sql) => this.forgetTheGone(sql));
    if (this.options.retention === undefined) return;
    for (const source of await this.sources())
      while (!this.stopped && (await this.alone((sql) => this.deleteOld(sql, source))) === BATCH);
  }

  /** Undefined where another process is at it. */
  private alone<T>(work: (sql: Sql) => Promise<T>): Promise<T | undefined> {
    return this.database().transaction(async (sql) => {
      const { rows } = await sql.query<{ mine: boolean }>(
        'SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS mine',
        [`nestjs-eventing ${this.options.schema} housekeeping`],
      );
      return rows[0]?.mine === true ? work(sql) : undefined;
    });
  }

  private async forgetTheGone(sql: Sql): Promise<void> {
    const { schema, leaseTime } = this.options;
    await sql.query(`DELETE FROM ${schema}.publishers WHERE updated_at < now() - interval '${PUBLISHER_AGE}'`);
    // Their next sign of life takes that back.
    await sql.query(
      `UPDATE ${schema}.members SET missed_at = now() WHERE missed_at IS NULL AND expires_at < now() - interval '${GONE}'`,
    );
    await sql.query(
      `WITH gone AS (
        DELETE FROM ${schema}.members WHERE missed_at < now() - $1::bigint * interval '1 millisecond'
        RETURNING subscription, member, per_process
      ) DELETE FROM ${schema}.deferred d USING gone
        WHERE gone.per_process AND d.target = gone.subscription || '#' || gone.member`,
      [Math.max(LEAST_MISSED, 2 * leaseTime)],
    );
    // A subscription that is not durable ends with its last process, also where that died.
    await sql.query(
      `WITH ended AS (
        DELETE FROM ${schema}.subscriptions s WHERE NOT s.durable AND s.created_at < now() - interval '${GONE}' AND NOT EXISTS
          (SELECT 1 FROM ${schema}.members m WHERE m.subscription = s.name)
        RETURNING s.name
      ) DELETE FROM ${schema}.deferred d USING ended WHERE d.target = ended.name`,
    );
  }

  private async sources(): Promise<Source[]> {
    const { rows } = await this.database().query<{ channel: string; partition: number }>(
      `SELECT c.name AS channel, n AS partition FROM ${this.options.schema}.channels c
       CROSS JOIN LATERAL generate_series(0, c.partitions - 1) AS n`,
    );
    return [...rows];
  }

  /** Looks at the oldest alone, whatever the size of the log. @returns how many were deleted */
  private async deleteOld(sql: Sql, { channel, partition }: Source): Promise<number> {
    const { schema, retention } = this.options;
    const { rows } = await sql.query<{ count: string | number }>(
      `WITH kept AS (
        SELECT p.xid, p.position FROM ${schema}.positions p JOIN ${schema}.subscriptions s ON s.name = p.subscription
        WHERE s.durable AND p.channel = $1 AND p.partition = $2 AND NOT $4::boolean ORDER BY p.xid, p.position LIMIT 1
      ), gone AS (DELETE FROM ${schema}.events WHERE ctid = ANY(ARRAY(
        SELECT e.ctid FROM (
          SELECT e.ctid, e.stored_at, e.xid, e.position FROM ${schema}.events e
          WHERE e.channel = $1 AND e.partition = $2 ORDER BY e.xid, e.position LIMIT ${BATCH}
        ) e
        WHERE e.stored_at < now() - $3::bigint * interval '1 millisecond'
          AND NOT EXISTS (SELECT 1 FROM kept WHERE (e.xid, e.position) >= (kept.xid, kept.position))
      )) RETURNING xid, position
      ), noted AS (
        INSERT INTO ${schema}.forgotten AS f (channel, partition, xid, position)
        SELECT $1, $2, xid, position FROM gone ORDER BY xid DESC, position DESC LIMIT 1
        ON CONFLICT (channel, partition) DO UPDATE SET xid = excluded.xid, position = excluded.position
        WHERE (f.xid, f.position) < (excluded.xid, excluded.position)
      ) SELECT count(*) AS count FROM gone`,
      [channel, partition, Math.trunc(retention?.maxAge ?? 0), retention?.dropUnsettled ?? false],
    );
    return Number(rows[0]?.count ?? 0);
  }
}
