import type { RawHeaders } from 'nestjs-eventing';
import { decodeHeaders, encodeHeaders } from '../log/header.codec.js';
import type { Source } from '../log/stored.event.js';
import type { Database, Sql } from '../sql/database.js';

/** A message of one subscription that waited for its time. */
export interface DeferredMessage {
  readonly number: number;
  readonly attempt: number;
  /** Where it stood in the log; undefined for one that was sent to this subscription alone. */
  readonly origin: string | undefined;
  readonly time: number;
  readonly key: string | undefined;
  readonly headers: RawHeaders;
  readonly body: Uint8Array;
}

/** How much to take of one source. */
export interface Take extends Source {
  readonly most: number;
  /** Those that a predecessor had taken when it died, instead of the others. */
  readonly suspects: boolean;
}

export interface Taken {
  /** By index of what was asked for. */
  readonly messages: readonly (readonly DeferredMessage[])[];
  /** Milliseconds until the next one of these sources is due; undefined if there is none. */
  readonly nextDue: number | undefined;
}

interface DeferredRow extends Record<string, unknown> {
  readonly next_due: string | number | null;
  /** Null where nothing is due. */
  readonly source: string | number | null;
  readonly number: string | number;
  readonly attempt: number;
  readonly origin: string | null;
  readonly time: string | number;
  readonly key: string | null;
  readonly headers: unknown;
  readonly body: Uint8Array;
}

/** Messages that wait for their time, or that one subscription alone gets. Due by the clock of the database. */
export class DeferredTable {
  private readonly taking: string;

  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
  ) {
    const sources =
      'unnest($2::text[], $3::smallint[], $4::integer[], $5::boolean[]) WITH ORDINALITY AS s(channel, partition, most, suspects, number)';
    const own = `d.target = $1 AND d.channel = s.channel AND d.partition = s.partition`;
    // A suspect that is tried once more has its crash counted; who merely waited beside it has not.
    this.taking = `WITH due AS (
        SELECT s.number AS source, d.number FROM ${sources}
        CROSS JOIN LATERAL (
          SELECT d.number FROM ${schema}.deferred d
          WHERE ${own} AND d.due_at <= now() AND d.taken = s.suspects ORDER BY d.due_at, d.number LIMIT s.most
        ) d
      ), taken AS (
        UPDATE ${schema}.deferred d SET taken = true, crashes = d.crashes + d.taken::integer
        FROM due WHERE d.number = due.number
        RETURNING due.source, d.number, d.attempt + greatest(d.crashes - 1, 0) AS attempt, d.origin, d.time, d.key, d.headers, d.body, d.due_at
      ), coming AS (
        SELECT min(d.due_at) AS due_at FROM ${sources}
        CROSS JOIN LATERAL (
          SELECT d.due_at FROM ${schema}.deferred d WHERE ${own} AND d.due_at > now() ORDER BY d.due_at LIMIT 1
        ) d
      ) SELECT ceil(extract(epoch FROM (coming.due_at - now())) * 1000)::bigint AS next_due,
          t.source, t.number, t.attempt, t.origin, t.time, t.key, t.headers, t.body
        FROM coming LEFT JOIN taken t ON true ORDER BY t.due_at, t.number`;
  }

  async take(target: string, takes: readonly Take[]): Promise<Taken> {
    const { rows } = await this.database().query<DeferredRow>(this.taking, [
      target,
      takes.map(({ channel }) => channel),
      takes.map(({ partition }) => partition),
      takes.map(({ most }) => most),
      takes.map(({ suspects }) => suspects),
    ]);
    const messages: DeferredMessage[][] = takes.map(() => []);
    for (const row of rows) {
      if (row.source === null) break;
      messages[Number(row.source) - 1]?.push({
        number: Number(row.number),
        attempt: row.attempt,
        origin: row.origin ?? undefined,
        time: Number(row.time),
        key: row.key ?? undefined,
        headers: decodeHeaders(row.headers),
        body: row.body,
      });
    }
    const next = rows[0]?.next_due ?? null;
    return { messages, nextDue: next === null ? undefined : Number(next) };
  }

  /** Keeps a message of the log away for so many milliseconds. */
  async add(target: string, source: Source, message: Omit<DeferredMessage, 'number'>, wait: number): Promise<void> {
    await this.database().query(
      `INSERT INTO ${this.schema}.deferred (target, channel, partition, due_at, attempt, origin, time, key, headers, body)
       VALUES ($1, $2, $3, now() + $4::bigint * interval '1 millisecond', $5, $6, $7, $8, $9::json, $10)`,
      [
        target,
        source.channel,
        source.partition,
        wait,
        message.attempt,
        message.origin ?? null,
        message.time,
        message.key ?? null,
        encodeHeaders(message.headers),
        message.body,
      ],
    );
  }

  /** Keeps one that is taken away for longer. */
  async again(number: number, attempt: number, wait: number): Promise<void> {
    await this.database().query(
      `UPDATE ${this.schema}.deferred SET due_at = now() + $2::bigint * interval '1 millisecond', attempt = $3, taken = false, crashes = 0
       WHERE number = $1`,
      [number, wait, attempt],
    );
  }

  /** Given back in good order: no crash. */
  async giveBack(numbers: readonly number[]): Promise<void> {
    if (numbers.length === 0) return;
    await this.database().query(
      `UPDATE ${this.schema}.deferred SET taken = false, crashes = 0 WHERE number = ANY($1::bigint[])`,
      [numbers],
    );
  }

  async remove(sql: Sql, numbers: readonly number[]): Promise<void> {
    if (numbers.length === 0) return;
    await sql.query(`DELETE FROM ${this.schema}.deferred WHERE number = ANY($1::bigint[])`, [numbers]);
  }
}
