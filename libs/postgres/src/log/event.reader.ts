import type { Sql } from '../sql/database.js';
import { decodeHeaders } from './header.codec.js';
import type { LogPosition, Source, StoredEvent } from './stored.event.js';

/** Where to read one partition from, and how much of it. */
export interface ReadFrom extends Source {
  readonly from: LogPosition;
  readonly most: number;
}

export interface ReadResult {
  /** By index of what was asked for. */
  readonly events: readonly (readonly StoredEvent[])[];
  /** Bytes of all bodies. */
  readonly bytes: number;
  /** Transactions from this one on were not looked at: some of them may be under way, and commit before others. */
  readonly horizon: number;
  /** The first transaction that had not begun. */
  readonly next: number;
}

interface EventRow extends Record<string, unknown> {
  readonly horizon: string;
  readonly next: string;
  /** Counted from 1; null where there is nothing at all. */
  readonly source: string | number | null;
  readonly xid: string;
  readonly position: string | number;
  readonly time: string | number;
  readonly key: string | null;
  readonly headers: unknown;
  readonly body: Uint8Array;
}

/** Greatest number of events of a partition that are counted. */
const MOST_COUNTED = 1_000_000;

/** Reads the log: only what is older than every transaction that is under way, so that nothing comes up later in between. */
export class EventReader {
  private readonly reading: string;
  private readonly counting: string;
  private readonly finding: string;

  constructor(schema: string) {
    const sources = 'unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[]';
    const behind = `e.channel = s.channel AND e.partition = s.partition AND (e.xid, e.position) >= (s.xid::xid8, s.position)`;
    this.reading = `SELECT pg_snapshot_xmin(n.snapshot)::text AS horizon, pg_snapshot_xmax(n.snapshot)::text AS next,
        r.source, r.xid::text AS xid, r.position, r.time, r.key, r.headers, r.body
      FROM (SELECT pg_current_snapshot() AS snapshot) n
      LEFT JOIN LATERAL (
        SELECT s.number AS source, e.* FROM ${sources}, $5::integer[])
          WITH ORDINALITY AS s(channel, partition, xid, position, most, number)
        CROSS JOIN LATERAL (
          SELECT e.xid, e.position, e.time, e.key, e.headers, e.body FROM ${schema}.events e
          WHERE ${behind} AND e.xid < pg_snapshot_xmin(n.snapshot)
          ORDER BY e.xid, e.position LIMIT s.most
        ) e
      ) r ON true`;
    this.counting = `SELECT count(*) AS count FROM ${sources}) AS s(channel, partition, xid, position)
      CROSS JOIN LATERAL (SELECT 1 FROM ${schema}.events e WHERE ${behind} LIMIT ${MOST_COUNTED}) e`;
    this.finding = `SELECT s.number AS source, e.xid::text AS xid, e.position
      FROM unnest($1::text[], $2::smallint[]) WITH ORDINALITY AS s(channel, partition, number)
      CROSS JOIN LATERAL (
        SELECT e.xid, e.position FROM ${schema}.events e
        WHERE e.channel = s.channel AND e.partition = s.partition
          AND e.stored_at >= timestamptz 'epoch' + $3::bigint * interval '1 millisecond'
        ORDER BY e.xid, e.position LIMIT 1
      ) e`;
  }

  async read(sql: Sql, wanted: readonly ReadFrom[]): Promise<ReadResult> {
    const { rows } = await sql.query<EventRow>(this.reading, [
      ...columnsOf(wanted.map(({ channel, partition, from }) => ({ channel, partition, ...from }))),
      wanted.map(({ most }) => most),
    ]);
    const events: StoredEvent[][] = wanted.map(() => []);
    let bytes = 0;
    for (const row of rows) {
      if (row.source === null) break;
      bytes += row.body.byteLength;
      events[Number(row.source) - 1]?.push({
        xid: Number(row.xid),
        position: Number(row.position),
        time: Number(row.time),
        key: row.key ?? undefined,
        headers: decodeHeaders(row.headers),
        body: row.body,
      });
    }
    return { events, bytes, horizon: Number(rows[0]?.horizon), next: Number(rows[0]?.next) };
  }

  /** How many are stored from there on, up to a million of each. */
  async count(sql: Sql, from: readonly (Source & LogPosition)[]): Promise<number> {
    const { rows } = await sql.query<{ count: string | number }>(this.counting, columnsOf(from));
    return Number(rows[0]?.count ?? 0);
  }

  /** Behind everything that is stored now: what is published from now on comes after it. */
  async end(sql: Sql): Promise<LogPosition> {
    const { rows } = await sql.query<{ next: string }>('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS next');
    return { xid: Number(rows[0]?.next), position: 0 };
  }

  /** Before everything that a transaction under way may have stored. */
  async oldestOpen(sql: Sql): Promise<LogPosition> {
    const { rows } = await sql.query<{ oldest: string }>(
      'SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS oldest',
    );
    return { xid: Number(rows[0]?.oldest), position: 0 };
  }

  /** The first event of each that was stored at this time (milliseconds since 1970) or later; none where there is no such. */
  async since(sql: Sql, sources: readonly Source[], time: number): Promise<Map<Source, LogPosition>> {
    const { rows } = await sql.query<{ source: string | number; xid: string; position: string | number }>(
      this.finding,
      [sources.map(({ channel }) => channel), sources.map(({ partition }) => partition), Math.ceil(time)],
    );
    return new Map(
      rows.map(({ source, xid, position }) => [
        sources[Number(source) - 1] as Source,
        { xid: Number(xid), position: Number(position) },
      ]),
    );
  }
}

function columnsOf(sources: readonly (Source & LogPosition)[]): unknown[][] {
  return [
    sources.map(({ channel }) => channel),
    sources.map(({ partition }) => partition),
    sources.map(({ xid }) => String(xid)),
    sources.map(({ position }) => position),
  ];
}
