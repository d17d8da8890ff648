import type { Database, Sql } from '../sql/database.js';
import { membersWake } from '../log/wake.ups.js';
import type { Source } from '../log/stored.event.js';
import type { SourceState } from './source.tracker.js';

/** One process of a subscription. */
export interface Member {
  /** `shop.SendReceipt` */
  readonly subscription: string;
  /** Unique in the cluster, and never used again. */
  readonly member: string;
  readonly channels: readonly string[];
  readonly perProcess: boolean;
}

/** How the sources of a subscription are shared out at the moment. */
export interface Shares {
  /** Those that are alive, this one included, each with the channels that it reads. */
  readonly members: ReadonlyMap<string, readonly string[]>;
  readonly sources: readonly (Source & { readonly owner: string | undefined })[];
  /** What this member has, by the database's clock, with the fencing token of each. */
  readonly mine: readonly (Source & { readonly generation: number })[];
}

/** A source that is this member's from now on. */
export interface ClaimedSource {
  readonly source: Source;
  readonly generation: number;
  readonly state: SourceState;
}

/** A state to be written down, under its fencing token. */
export interface StateToWrite {
  readonly source: Source;
  readonly generation: number;
  readonly state: SourceState;
}

interface PositionRow extends Record<string, unknown> {
  readonly channel: string;
  readonly partition: number;
  readonly generation: string | number;
  readonly xid: string;
  readonly position: string | number;
  readonly done: readonly (string | number)[];
  readonly attempt: number;
}

/** How many times `leaseTime`, and how many milliseconds beyond, a lease may end from now: of other processes with other options too. */
const LONGEST = 10;
const SLACK = 60_000;

/**
 * Who has which source of a subscription, and how far each is settled. A source belongs to its owner until the lease ends, by the clock
 * of the database alone: those of the processes may differ or jump.
 */
export class LeaseTable {
  private readonly beating: string;
  private readonly claiming: string;

  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
    private readonly notified: string,
    /** Milliseconds. */
    private readonly leaseTime: number,
  ) {
    const expiry = `now() + $5::integer * interval '1 millisecond'`;
    // The database's clock may have been set back: a lease that ends so late was given out before, and nobody waits for its end.
    const latest = `now() + (${LONGEST} * $5::bigint + ${SLACK}) * interval '1 millisecond'`;
    const lives = (row: string): string => `${row}.expires_at > now() AND ${row}.expires_at <= ${latest}`;
    // Positions are locked in one order everywhere, so that nobody waits for each other.
    this.beating = `WITH alive AS (
        INSERT INTO ${schema}.members (subscription, member, channels, per_process, expires_at)
        VALUES ($1, $2, $3::text[], $4, ${expiry})
        ON CONFLICT (subscription, member)
          DO UPDATE SET channels = excluded.channels, expires_at = excluded.expires_at, missed_at = NULL
      ), held AS MATERIALIZED (
        SELECT p.channel, p.partition FROM ${schema}.positions p
        WHERE p.subscription = $1 AND p.owner = $2 ORDER BY p.channel, p.partition FOR UPDATE
      ), renewed AS (
        UPDATE ${schema}.positions p SET expires_at = ${expiry} FROM held h
        WHERE p.subscription = $1 AND p.owner = $2 AND p.channel = h.channel AND p.partition = h.partition
        RETURNING p.channel, p.partition, p.generation
      ) SELECT
        (SELECT json_agg(json_build_array(m.member, m.channels)) FROM ${schema}.members m
          WHERE m.subscription = $1 AND NOT m.per_process AND ${lives('m')}) AS members,
        (SELECT json_agg(json_build_array(p.channel, p.partition, CASE WHEN ${lives('p')} THEN p.owner END))
          FROM ${schema}.positions p WHERE p.subscription = $1) AS sources,
        (SELECT json_agg(json_build_array(r.channel, r.partition, r.generation)) FROM renewed r) AS mine`;
    this.claiming = `WITH free AS (
        SELECT f.channel, f.partition FROM unnest($3::text[], $4::integer[]) AS w(channel, most)
        CROSS JOIN LATERAL (
          SELECT p.channel, p.partition FROM ${schema}.positions p
          WHERE p.subscription = $1 AND p.channel = w.channel AND (p.owner IS NULL OR NOT (${lives('p')}))
          ORDER BY p.partition LIMIT w.most FOR UPDATE SKIP LOCKED
        ) f
      ) UPDATE ${schema}.positions p
      SET owner = $2, generation = p.generation + 1, expires_at = ${expiry}
      FROM free f WHERE p.subscription = $1 AND p.channel = f.channel AND p.partition = f.partition
      RETURNING p.channel, p.partition, p.generation, p.xid::text AS xid, p.position, p.done, p.attempt`;
  }

  /** Says that this member is alive, which keeps its leases, and looks how things are. Waits behind no other statement, but one that writes these positions. */
  async beat({ subscription, member, channels, perProcess }: Member): Promise<Shares> {
    const database = this.database();
    const { rows } = await (database.urgent ?? database).query<{
      members: readonly [string, readonly string[]][] | null;
      sources: readonly [string, number, string | null][] | null;
      mine: readonly [string, number, number][] | null;
    }>(this.beating, [subscription, member, channels, perProcess, this.leaseTime]);
    const [row] = rows;
    return {
      members: new Map([...(row?.members ?? []), [member, channels]]),
      sources: (row?.sources ?? []).map(([channel, partition, owner]) => ({
        channel,
        partition,
        owner: owner ?? undefined,
      })),
      mine: (row?.mine ?? []).map(([channel, partition, generation]) => ({ channel, partition, generation })),
    };
  }

  /** Takes so many sources of each channel that are nobody's. */
  async claim({ subscription, member }: Member, wanted: ReadonlyMap<string, number>): Promise<ClaimedSource[]> {
    const { rows } = await this.database().query<PositionRow>(this.claiming, [
      subscription,
      member,
      [...wanted.keys()],
      [...wanted.values()],
      this.leaseTime,
    ]);
    return rows.map(({ channel, partition, generation, xid, position, done, attempt }) => ({
      source: { channel, partition },
      generation: Number(generation),
      state: { xid: Number(xid), position: Number(position), done: done.map(Number), attempt },
    }));
  }

  /** Writes states down. @returns those that belong to another by now */
  async write<S extends StateToWrite>(sql: Sql, { subscription, member }: Member, states: readonly S[]): Promise<S[]> {
    if (states.length === 0) return [];
    const { rows } = await sql.query<{ channel: string; partition: number }>(
      // Positions are locked in one order everywhere, so that nobody waits for each other.
      `WITH held AS MATERIALIZED (
        SELECT s.* FROM unnest($3::text[], $4::smallint[], $5::bigint[], $6::text[], $7::bigint[], $8::text[], $9::integer[])
          AS s(channel, partition, generation, xid, position, done, attempt)
        JOIN ${this.schema}.positions p ON p.subscription = $1 AND p.owner = $2
          AND p.channel = s.channel AND p.partition = s.partition AND p.generation = s.generation
        ORDER BY p.channel, p.partition FOR UPDATE OF p
      ) UPDATE ${this.schema}.positions p
      SET xid = s.xid::xid8, position = s.position, done = s.done::bigint[], attempt = s.attempt, updated_at = now()
      FROM held s WHERE p.subscription = $1 AND p.owner = $2
        AND p.channel = s.channel AND p.partition = s.partition AND p.generation = s.generation
      RETURNING p.channel, p.partition`,
      [
        subscription,
        member,
        states.map(({ source }) => source.channel),
        states.map(({ source }) => source.partition),
        states.map(({ generation }) => generation),
        states.map(({ state }) => String(state.xid)),
        states.map(({ state }) => state.position),
        states.map(({ state }) => `{${state.done.join(',')}}`),
        states.map(({ state }) => state.attempt),
      ],
    );
    const written = new Set(rows.map(({ channel, partition }) => `${channel}/${partition}`));
    return states.filter(({ source }) => !written.has(`${source.channel}/${source.partition}`));
  }

  /** Gives sources back: they are nobody's, and the others hear of it. */
  async release({ subscription, member }: Member, sources: readonly Source[]): Promise<void> {
    await this.database().query(
      // Positions are locked in one order everywhere, so that nobody waits for each other.
      `WITH held AS MATERIALIZED (
        SELECT s.* FROM unnest($3::text[], $4::smallint[]) AS s(channel, partition)
        JOIN ${this.schema}.positions p ON p.subscription = $1 AND p.owner = $2 AND p.channel = s.channel AND p.partition = s.partition
        ORDER BY p.channel, p.partition FOR UPDATE OF p
      ), released AS (
        UPDATE ${this.schema}.positions p SET owner = NULL, expires_at = NULL
        FROM held h WHERE p.subscription = $1 AND p.owner = $2 AND p.channel = h.channel AND p.partition = h.partition
      ) SELECT pg_notify($5, $6)`,
      [
        subscription,
        member,
        sources.map(({ channel }) => channel),
        sources.map(({ partition }) => partition),
        this.notified,
        membersWake(subscription),
      ],
    );
  }
}
