import { EventingError, type StartPosition } from 'nestjs-eventing';
import type { LogBounds } from '../log/log.bounds.js';
import { type LogPosition, type Source, sourceName } from '../log/stored.event.js';
import { membersWake } from '../log/wake.ups.js';
import type { Database, Sql } from '../sql/database.js';
import type { Member } from './lease.table.js';

/** How many times `leaseTime` somebody is missed before he counts as dead. */
const GRACE = 2;
const POSITION = /^(?:\d{1,9}@)?(\d{1,15})\.(\d{1,15})$/;

/** Throws EVT_POSITION for what cannot be a position, naming it. */
export function checkStart(from: StartPosition, subscription: string): void {
  if (typeof from === 'string') return;
  const refused = (why: string): EventingError => refusedStart(subscription, why);
  if ('time' in from) {
    if (Number.isSafeInteger(from.time) && from.time >= 0) return;
    throw refused(`\`time\` ${String(from.time)} is not a number of milliseconds since 1970`);
  }
  for (const [source, position] of Object.entries(from.positions)) {
    if (!/^.+\/\d+$/s.test(source)) throw refused(`"${source}" is not a partition, e.g. "orders/0"`);
    if (!POSITION.test(position)) throw refused(`"${position}" of ${source} is not a position, e.g. "771.42"`);
  }
}

/** Which subscriptions there are, and where each begins. */
export class SubscriptionTable {
  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
    private readonly bounds: LogBounds,
    private readonly notified: string,
    /** Milliseconds. */
    private readonly leaseTime: number,
  ) {}

  /**
   * Makes the subscription if it is new, with a position in each of these sources where it has none: on record before anybody relies on
   * it. Of several processes that begin at one time, one fixes the positions and the others find them.
   */
  async register(
    member: Member,
    how: { readonly durable: boolean; readonly from: StartPosition },
    sources: readonly Source[],
  ): Promise<void> {
    const { schema } = this;
    const { subscription: name } = member;
    await this.database().transaction(async (sql) => {
      await sql.query(
        `INSERT INTO ${schema}.subscriptions (name, durable) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET durable = excluded.durable`,
        [name, how.durable],
      );
      // What a last process left behind by dying.
      if (!how.durable) await this.forgetUnlessAlive(sql, name);
      await sql.query(
        `INSERT INTO ${schema}.members (subscription, member, channels, per_process, expires_at)
         VALUES ($1, $2, $3::text[], false, now() + $4::integer * interval '1 millisecond') ON CONFLICT DO NOTHING`,
        [name, member.member, member.channels, this.leaseTime],
      );
      const { rows } = await sql.query<{ channel: string; partition: number }>(
        `SELECT channel, partition FROM ${schema}.positions WHERE subscription = $1`,
        [name],
      );
      const there = new Set(rows.map(sourceName));
      const missing = sources.filter((source) => !there.has(sourceName(source)));
      if (missing.length > 0) {
        const starts = await this.starts(sql, name, { from: how.from, ends: false }, sources, missing);
        await sql.query(
          `INSERT INTO ${schema}.positions (subscription, channel, partition, xid, position)
           SELECT $1, s.channel, s.partition, s.xid::xid8, s.position
           FROM unnest($2::text[], $3::smallint[], $4::text[], $5::bigint[]) AS s(channel, partition, xid, position)`,
          [
            name,
            missing.map(({ channel }) => channel),
            missing.map(({ partition }) => partition),
            starts.map(({ xid }) => String(xid)),
            starts.map(({ position }) => position),
          ],
        );
      }
      await sql.query('SELECT pg_notify($1, $2)', [this.notified, membersWake(name)]);
    });
  }

  /**
   * Where each source begins that no position is kept of. Throws EVT_POSITION for a position that the log cannot have. What ends begins
   * with what is kept now, so that it can be told from what is deleted under it.
   *
   * @param all of the subscription
   * @param how.ends only what is committed already is read
   */
  async starts(
    sql: Sql,
    subscription: string,
    how: { readonly from: StartPosition; readonly ends: boolean },
    all: readonly Source[],
    sources: readonly Source[] = all,
  ): Promise<LogPosition[]> {
    const { from } = how;
    const oldest = how.ends ? await this.bounds.oldest(sql, sources) : undefined;
    const earliest = (source: Source): LogPosition => oldest?.get(source) ?? EARLIEST;
    if (from === 'earliest') return sources.map(earliest);
    const end = await this.bounds.end(sql);
    if (from === 'first-subscription') return sources.map(() => end);
    if ('positions' in from) {
      const starts = new Map(Object.entries(from.positions).map(([source, position]) => [source, parsed(position)]));
      const why = bogus(starts, new Set(all.map(sourceName)), end);
      if (why !== undefined) throw refusedStart(subscription, why);
      return sources.map((source) => starts.get(sourceName(source)) ?? earliest(source));
    }
    // A transaction that is open may have stored something at this time or later: nothing from it on is passed over.
    const open = how.ends ? end : await this.bounds.oldestOpen(sql);
    const found = await this.bounds.since(sql, sources, from.time);
    return sources.map((source) => {
      const first = found.get(source);
      return first !== undefined && first.xid < open.xid ? first : open;
    });
  }

  /** The member is gone and has nothing any more; with the last one goes what was not durable. */
  async leave({ subscription, member, perProcess }: Member, durable: boolean): Promise<void> {
    const { schema } = this;
    await this.database().transaction(async (sql) => {
      await sql.query(`SELECT 1 FROM ${schema}.subscriptions WHERE name = $1 FOR UPDATE`, [subscription]);
      await sql.query(`DELETE FROM ${schema}.members WHERE subscription = $1 AND member = $2`, [subscription, member]);
      // Positions are locked in one order everywhere, so that nobody waits for each other.
      await sql.query(
        `WITH held AS MATERIALIZED (
          SELECT p.channel, p.partition FROM ${schema}.positions p
          WHERE p.subscription = $1 AND p.owner = $2 ORDER BY p.channel, p.partition FOR UPDATE
        ) UPDATE ${schema}.positions p SET owner = NULL, expires_at = NULL
        FROM held h WHERE p.subscription = $1 AND p.owner = $2 AND p.channel = h.channel AND p.partition = h.partition`,
        [subscription, member],
      );
      if (perProcess)
        await sql.query(`DELETE FROM ${schema}.deferred WHERE target = $1`, [ownTarget(subscription, member)]);
      else if (!durable && (await this.forgetUnlessAlive(sql, subscription)))
        await sql.query(`DELETE FROM ${schema}.subscriptions WHERE name = $1`, [subscription]);
      await sql.query('SELECT pg_notify($1, $2)', [this.notified, membersWake(subscription)]);
    });
  }

  /**
   * Whose lease has run out may be alive, and only have been cut off, as all are by an outage: they have some time to come back from when
   * they are missed first. @returns whether it was forgotten
   */
  private async forgetUnlessAlive(sql: Sql, name: string): Promise<boolean> {
    const { schema } = this;
    await sql.query(
      `UPDATE ${schema}.members SET missed_at = now() WHERE subscription = $1 AND missed_at IS NULL AND expires_at <= now()`,
      [name],
    );
    const { rows } = await sql.query(
      `SELECT 1 FROM ${schema}.members
       WHERE subscription = $1 AND (missed_at IS NULL OR missed_at > now() - $2::bigint * interval '1 millisecond') LIMIT 1`,
      [name, GRACE * this.leaseTime],
    );
    if (rows.length > 0) return false;
    // In the order in which a sign of life locks them.
    await sql.query(`DELETE FROM ${schema}.members WHERE subscription = $1`, [name]);
    await sql.query(
      `SELECT 1 FROM ${schema}.positions WHERE subscription = $1 ORDER BY channel, partition FOR UPDATE`,
      [name],
    );
    await sql.query(`DELETE FROM ${schema}.positions WHERE subscription = $1`, [name]);
    await sql.query(`DELETE FROM ${schema}.deferred WHERE target = $1`, [name]);
    return true;
  }
}

function refusedStart(subscription: string, why: string): EventingError {
  return new EventingError('EVT_POSITION', `\`from\` of subscription ${subscription} cannot be used: ${why}.`);
}

function parsed(position: string): LogPosition {
  const match = POSITION.exec(position);
  return match === null ? EARLIEST : { xid: Number(match[1]), position: Number(match[2]) };
}

/** What this log cannot have. A position beyond its end would pass over all that is published until the end has come there. */
function bogus(
  starts: ReadonlyMap<string, LogPosition>,
  known: ReadonlySet<string>,
  end: LogPosition,
): string | undefined {
  for (const [source, { xid, position }] of starts) {
    if (!known.has(source)) return `it reads no partition "${source}"; there are ${[...known].slice(0, 20).join(', ')}`;
    if (xid > end.xid) return `"${xid}.${position}" of ${source} is beyond the end of the log, which is ${end.xid}.0`;
  }
  return undefined;
}

/** What waits for one process of a subscription alone. */
export function ownTarget(subscription: string, member: string): string {
  return `${subscription}#${member}`;
}

export const EARLIEST: LogPosition = { xid: 0, position: 0 };
