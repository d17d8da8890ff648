import type { Sql } from '../sql/database.js';
import type { LogPosition, Source } from './stored.event.js';

interface Found extends Record<string, unknown> {
  readonly source: string | number;
  readonly xid: string;
  readonly position: string | number;
}

/** Events before the one that was found which are looked at one by one. */
const LOOK_BACK = 1_000;

/** Where the log ends, and where in it a time is. */
export class LogBounds {
  private readonly finding: string;

  constructor(private readonly schema: string) {
    const inSource = 'e.channel = s.channel AND e.partition = s.partition';
    // Times ascend with the order of the log, but for a transaction that waited between its beginning and its first write. So the time is
    // searched for by halves, and what is before the place that was found is looked at as well: an index of times would be one more to
    // write with each event.
    this.finding = `WITH RECURSIVE wanted AS (
        SELECT to_timestamp(0) + $3::bigint * interval '1 millisecond' AS time, pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS next
      ), search AS (
        SELECT s.channel, s.partition, s.number, 0::bigint AS low, w.next AS high
        FROM unnest($1::text[], $2::smallint[]) WITH ORDINALITY AS s(channel, partition, number) CROSS JOIN wanted w
        UNION ALL
        SELECT s.channel, s.partition, s.number,
          CASE WHEN e.stored_at < w.time THEN e.xid::text::bigint + 1 ELSE s.low END,
          CASE WHEN e.stored_at < w.time THEN s.high ELSE (s.low + s.high) / 2 END
        FROM search s CROSS JOIN wanted w LEFT JOIN LATERAL (
          SELECT e.xid, e.stored_at FROM ${schema}.events e
          WHERE ${inSource} AND e.xid >= ((s.low + s.high) / 2)::text::xid8 ORDER BY e.xid, e.position LIMIT 1
        ) e ON true WHERE s.low < s.high
      ), place AS (SELECT * FROM search WHERE low >= high
      ) SELECT s.number AS source, e.xid::text AS xid, e.position
      FROM place s CROSS JOIN wanted w CROSS JOIN LATERAL (
        SELECT e.xid, e.position FROM (
          (SELECT e.xid, e.position, e.stored_at FROM ${schema}.events e
            WHERE ${inSource} AND e.xid < s.low::text::xid8 ORDER BY e.xid DESC, e.position DESC LIMIT ${LOOK_BACK})
          UNION ALL
          (SELECT e.xid, e.position, e.stored_at FROM ${schema}.events e
            WHERE ${inSource} AND e.xid >= s.low::text::xid8 ORDER BY e.xid, e.position LIMIT 1)
        ) e WHERE e.stored_at >= w.time ORDER BY e.xid, e.position LIMIT 1
      ) e`;
  }

  /** Of each the place that retention has not reached; none where it has deleted nothing. */
  async oldest(sql: Sql, sources: readonly Source[]): Promise<Map<Source, LogPosition>> {
    const { rows } = await sql.query<Found>(
      `SELECT s.number AS source, f.xid::text AS xid, f.position + 1 AS position
       FROM unnest($1::text[], $2::smallint[]) WITH ORDINALITY AS s(channel, partition, number)
       JOIN ${this.schema}.forgotten f ON f.channel = s.channel AND f.partition = s.partition`,
      [sources.map(({ channel }) => channel), sources.map(({ partition }) => partition)],
    );
    return positionsOf(rows, sources);
  }

  /** Behind everything that is stored now: what is published from now on comes after it. */
  async end(sql: Sql): Promise<LogPosition> {
    return { xid: await this.transaction(sql, 'pg_snapshot_xmax(pg_current_snapshot())'), position: 0 };
  }

  /** Before everything that a transaction under way may have stored. */
  async oldestOpen(sql: Sql): Promise<LogPosition> {
    return { xid: await this.transaction(sql, 'pg_snapshot_xmin(pg_current_snapshot())'), position: 0 };
  }

  /** What is committed now, and will be told from what comes later for as long as the cluster lives. */
  async now(sql: Sql): Promise<string> {
    const { rows } = await sql.query<{ now: string }>('SELECT pg_current_snapshot()::text AS now');
    return String(rows[0]?.now);
  }

  /** The first event of each that was stored at this time (milliseconds since 1970) or later; none where there is no such. */
  async since(sql: Sql, sources: readonly Source[], time: number): Promise<Map<Source, LogPosition>> {
    const { rows } = await sql.query<Found>(this.finding, [
      sources.map(({ channel }) => channel),
      sources.map(({ partition }) => partition),
      Math.ceil(time),
    ]);
    return positionsOf(rows, sources);
  }

  /**
   * Whether anything of the schema is of a transaction that this cluster has not had yet: a dump that was restored into another one. It
   * would not be read until that cluster has had as many, and what is sent meanwhile would stand before it.
   */
  async isForeign(sql: Sql): Promise<boolean> {
    const { schema } = this;
    const next = 'pg_snapshot_xmax(pg_current_snapshot())';
    const { rows } = await sql.query<{ foreign: boolean }>(
      `SELECT EXISTS (SELECT 1 FROM ${schema}.positions WHERE xid > ${next}) OR EXISTS (
        SELECT 1 FROM ${schema}.channels c CROSS JOIN LATERAL generate_series(0, c.partitions - 1) AS n
        CROSS JOIN LATERAL (
          SELECT e.xid FROM ${schema}.events e WHERE e.channel = c.name AND e.partition = n ORDER BY e.xid DESC, e.position DESC LIMIT 1
        ) e WHERE e.xid > ${next}
      ) AS foreign`,
    );
    return rows[0]?.foreign === true;
  }

  private async transaction(sql: Sql, which: string): Promise<number> {
    const { rows } = await sql.query<{ xid: string }>(`SELECT ${which}::text AS xid`);
    return Number(rows[0]?.xid);
  }
}

function positionsOf(rows: readonly Found[], sources: readonly Source[]): Map<Source, LogPosition> {
  return new Map(
    rows.map(({ source, xid, position }) => [
      sources[Number(source) - 1] as Source,
      { xid: Number(xid), position: Number(position) },
    ]),
  );
}
