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
  /** Of a read of the past: what was asked for is not all there any more. */
  readonly isCut: boolean;
}

interface EventRow extends Record<string, unknown> {
  readonly cut: boolean;
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
const MOST_COUNTED = 100_000;

/** Reads the log: only what is older than every transaction that is under way, so that nothing comes up later in between. */
export class EventReader {
  private readonly reading: string;
  private readonly reviewing: string;
  private readonly counting: string;

  constructor(schema: string) {
    const sources = 'unnest($1::text[], $2::smallint[], $3::text[], $4::bigint[]';
    const behind = `e.channel = s.channel AND e.partition = s.partition AND (e.xid, e.position) >= (s.xid::xid8, s.position)`;
    const read = (snapshot: string, horizon: string, visible: string, cut = 'false'): string =>
      `SELECT ${cut} AS cut, ${horizon}::text AS horizon, pg_snapshot_xmax(n.snapshot)::text AS next,
        r.source, r.xid::text AS xid, r.position, r.time, r.key, r.headers, r.body
      FROM (SELECT ${snapshot} AS snapshot) n
      LEFT JOIN LATERAL (
        SELECT s.number AS source, e.* FROM ${sources}, $5::integer[])
          WITH ORDINALITY AS s(channel, partition, xid, position, most, number)
        CROSS JOIN LATERAL (
          SELECT e.xid, e.position, e.time, e.key, e.headers, e.body FROM ${schema}.events e
          WHERE ${behind} AND ${visible}
          ORDER BY e.xid, e.position LIMIT s.most
        ) e
      ) r ON true`;
    this.reading = read(
      'pg_current_snapshot()',
      'pg_snapshot_xmin(n.snapshot)',
      'e.xid < pg_snapshot_xmin(n.snapshot)',
    );
    // What was committed then is all there, whatever else is under way: nothing has to be waited for.
    this.reviewing = read(
      '$6::pg_snapshot',
      'pg_snapshot_xmax(n.snapshot)',
      'e.xid < pg_snapshot_xmax(n.snapshot) AND pg_visible_in_snapshot(e.xid, n.snapshot)',
      `EXISTS (SELECT 1 FROM ${sources}) AS s(channel, partition, xid, position) JOIN ${schema}.forgotten f
        ON f.channel = s.channel AND f.partition = s.partition AND (f.xid, f.position) >= (s.xid::xid8, s.position))`,
    );
    this.counting = `SELECT count(*) AS count FROM ${sources}) AS s(channel, partition, xid, position)
      CROSS JOIN LATERAL (
        SELECT 1 FROM ${schema}.events e
        WHERE ${behind} AND ($5::pg_snapshot IS NULL OR pg_visible_in_snapshot(e.xid, $5::pg_snapshot)) LIMIT ${MOST_COUNTED}
      ) e`;
  }

  /** @param until what that snapshot sees, and nothing that was committed after it */
  async read(sql: Sql, wanted: readonly ReadFrom[], until?: string): Promise<ReadResult> {
    const { rows } = await sql.query<EventRow>(until === undefined ? this.reading : this.reviewing, [
      ...columnsOf(wanted.map(({ channel, partition, from }) => ({ channel, partition, ...from }))),
      wanted.map(({ most }) => most),
      ...(until === undefined ? [] : [until]),
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
    return {
      events,
      bytes,
      horizon: Number(rows[0]?.horizon),
      next: Number(rows[0]?.next),
      isCut: rows[0]?.cut === true,
    };
  }

  /** How many are stored from there on, up to 100,000 of each. @param until as above */
  async count(sql: Sql, from: readonly (Source & LogPosition)[], until?: string): Promise<number> {
    const { rows } = await sql.query<{ count: string | number }>(this.counting, [...columnsOf(from), until ?? null]);
    return Number(rows[0]?.count ?? 0);
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
