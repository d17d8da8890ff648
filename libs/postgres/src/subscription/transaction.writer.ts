import { LETTER_COLUMNS, letterValues } from '../dead-letters/letter.row.js';
import { encodeHeaders } from '../log/header.codec.js';
import { logWake } from '../log/wake.ups.js';
import {
  columnsOf,
  MESSAGE_COLUMNS,
  freshBatch,
  type BatchNumber,
  type PlacedMessage,
} from '../publish/event.writer.js';
import { numberArray, textArray } from '../sql/array.literal.js';
import type { Sql } from '../sql/database.js';
import type { Member, StateToWrite } from './lease.table.js';
import type { Deferral, Settled } from './settled.ledger.js';

/** What one source has to write down, its outputs with their places. */
export interface SourceToWrite extends StateToWrite {
  readonly settled: Omit<Settled, 'outputs'>;
  readonly outputs: readonly PlacedMessage[];
  /** Deferred messages that are settled. */
  readonly removals: readonly number[];
}

export interface TransactionWriterOptions {
  readonly schema: string;
  readonly service: string;
  /** Notified of what was stored. */
  readonly notified: string;
  /** How many milliseconds from now that is, of our clock. */
  waitUntil(notBefore: number): number;
}

interface Outcome extends Record<string, unknown> {
  readonly stored: boolean;
  readonly held?: readonly number[] | null;
  readonly owned: readonly number[] | null;
}

/**
 * Writes positions and what follows from them, of each source all or nothing, in one statement: no transaction is ever open while a client
 * thinks, or is suspended. Each statement has a number, so that one whose answer was lost can be sent again: it does nothing if it was run.
 * Who has lost a source writes nothing of it: the row of the position is locked with its fencing token before anything is stored.
 */
export class TransactionWriter {
  private readonly text: string;
  private readonly burning: string;

  constructor(private readonly options: TransactionWriterOptions) {
    const { schema } = options;
    const fence = `p.subscription = $3 AND p.owner = $4
      AND p.channel = s.channel AND p.partition = s.partition AND p.generation = s.generation`;
    const letter = LETTER_COLUMNS.map(([, type], index) =>
      type === 'bytea' ? `decode(l.fields->>${index + 1}, 'base64')` : `(l.fields->>${index + 1})::${type}`,
    );
    // Positions are locked in one order everywhere, so that nobody waits for each other.
    this.text = `WITH ${freshBatch(schema)}, given AS MATERIALIZED (
      SELECT * FROM unnest($7::text::text[], $8::text::smallint[], $9::text::bigint[], $10::text::text[], $11::text::bigint[],
        $12::text::text[], $13::text::integer[]) WITH ORDINALITY AS s(channel, partition, generation, xid, position, done, attempt, number)
    ), held AS MATERIALIZED (
      SELECT s.* FROM given s JOIN ${schema}.positions p ON ${fence}
      WHERE EXISTS (SELECT 1 FROM fresh) ORDER BY p.channel, p.partition FOR UPDATE OF p
    ), moved AS (
      UPDATE ${schema}.positions p
      SET xid = s.xid::xid8, position = s.position, done = s.done::bigint[], attempt = s.attempt, updated_at = now()
      FROM held s WHERE ${fence}
    ), outputs AS (
      INSERT INTO ${schema}.events (${MESSAGE_COLUMNS})
      SELECT m.channel, m.partition, m.time, m.id, m.key, m.headers, substring($22::bytea FROM m.at FOR m.size)
      FROM ROWS FROM (unnest($14::text::text[], $15::text::smallint[], $16::text::bigint[], $17::text::text[], $18::text::text[],
        $19::text::integer[], $20::text::integer[], $23::text::integer[]), json_array_elements($21::json)) WITH ORDINALITY
        AS m(channel, partition, time, id, key, at, size, source, headers, number)
      WHERE m.source IN (SELECT number FROM held) ORDER BY m.number
    ), letters AS (
      INSERT INTO ${schema}.dead_letters (${LETTER_COLUMNS.map(([name]) => name).join(', ')})
      SELECT ${letter.join(', ')} FROM json_array_elements($24::json) WITH ORDINALITY AS l(fields, number)
      WHERE (l.fields->>0)::integer IN (SELECT number FROM held) ORDER BY l.number
      ON CONFLICT (service, id) DO NOTHING
    ), deferrals AS (
      INSERT INTO ${schema}.deferred (target, channel, partition, due_at, attempt, origin, time, key, headers, body)
      SELECT $3, s.channel, s.partition, now() + (d.fields->>1)::bigint * interval '1 millisecond', (d.fields->>2)::integer, d.fields->>3,
        (d.fields->>4)::bigint, d.fields->>5, (d.fields->>6)::json, decode(d.fields->>7, 'base64')
      FROM json_array_elements($25::json) WITH ORDINALITY AS d(fields, number) JOIN held s ON s.number = (d.fields->>0)::integer
      ORDER BY d.number
    ), removals AS (
      DELETE FROM ${schema}.deferred d USING unnest($26::text::bigint[], $27::text::integer[]) AS r(number, source)
      WHERE d.number = r.number AND r.source IN (SELECT number FROM held)
    ) SELECT EXISTS (SELECT 1 FROM fresh) AS stored,
      (SELECT json_agg(s.number) FROM held s) AS held,
      (SELECT json_agg(s.number) FROM given s JOIN ${schema}.positions p ON ${fence}) AS owned,
      (SELECT count(*) FROM (SELECT pg_notify($5, payload) FROM unnest($6::text::text[]) AS payload) n) AS notified`;
    // Whichever comes first to the publisher's row, this or the statement in doubt, leaves nothing to the other. The number behind it says
    // which it was, so that this may be asked again when its own answer is lost.
    this.burning = `WITH burnt AS (
      INSERT INTO ${schema}.publishers AS p (instance, batch) VALUES ($1, $2::bigint + 1)
      ON CONFLICT (instance) DO UPDATE SET batch = excluded.batch, updated_at = now() WHERE p.batch < $2 OR p.batch = $2 + 1
      RETURNING 1
    ), given AS (
      SELECT * FROM unnest($5::text::text[], $6::text::smallint[], $7::text::bigint[])
        WITH ORDINALITY AS s(channel, partition, generation, number)
    ) SELECT NOT EXISTS (SELECT 1 FROM burnt) AS stored,
      (SELECT json_agg(s.number) FROM given s JOIN ${schema}.positions p ON ${fence}) AS owned`;
  }

  /** @returns those that belong to another by now, of which nothing was written */
  async write<S extends SourceToWrite>(
    sql: Sql,
    batch: BatchNumber,
    member: Member,
    sources: readonly S[],
  ): Promise<S[]> {
    const { notified } = this.options;
    const outputs = sources.flatMap((source) => source.outputs);
    const wakes = [...new Set(outputs.map(({ message }) => logWake(message.channel)))];
    const { rows } = await sql.query<Outcome>(this.text, [
      ...[batch.publisher, batch.number, member.subscription, member.member, notified, textArray(wakes)],
      ...statesOf(sources),
      ...columnsOf(outputs),
      numberArray(numbered(sources, ({ outputs: own }) => own).map(([source]) => source)),
      this.lettersOf(sources),
      this.deferralsOf(sources),
      numberArray(sources.flatMap(({ removals }) => removals)),
      numberArray(numbered(sources, ({ removals }) => removals).map(([source]) => source)),
    ]);
    const [outcome] = rows;
    // One that was run before tells nothing of what it held then; who has lost a source since is told by that.
    const ours = new Set((outcome?.stored === true ? outcome.held : outcome?.owned) ?? []);
    return sources.filter((_, index) => !ours.has(index + 1));
  }

  /** As `TransactionStore.burn`, of the statement that has this number. */
  async burn<S extends Pick<SourceToWrite, 'source' | 'generation'>>(
    sql: Sql,
    batch: BatchNumber,
    { subscription, member }: Member,
    sources: readonly S[],
  ): Promise<S[] | undefined> {
    const { rows } = await sql.query<Outcome>(this.burning, [
      ...[batch.publisher, batch.number, subscription, member],
      ...placesOf(sources),
    ]);
    const [outcome] = rows;
    if (outcome?.stored !== true) return undefined;
    const ours = new Set(outcome.owned ?? []);
    return sources.filter((_, index) => !ours.has(index + 1));
  }

  private lettersOf(sources: readonly SourceToWrite[]): string {
    const letters = numbered(sources, ({ settled }) => settled.letters);
    return json(letters.map(([source, letter]) => [source, ...letterValues(letter, this.options.service)]));
  }

  private deferralsOf(sources: readonly SourceToWrite[]): string {
    return json(
      numbered(sources, ({ settled }) => settled.deferrals).map(
        ([source, { message, notBefore }]: [number, Deferral]) => {
          const { attempt, origin, time, key, headers, body } = message;
          const wait = this.options.waitUntil(notBefore);
          return [source, wait, attempt, origin ?? null, time, key ?? null, encodeHeaders(headers), body];
        },
      ),
    );
  }
}

/** Each with the number of its source, from 1. */
function numbered<S, T>(sources: readonly S[], of: (source: S) => readonly T[]): [source: number, one: T][] {
  return sources.flatMap((source, index) => of(source).map((one): [number, T] => [index + 1, one]));
}

function placesOf(sources: readonly Pick<SourceToWrite, 'source' | 'generation'>[]): string[] {
  return [
    textArray(sources.map(({ source }) => source.channel)),
    numberArray(sources.map(({ source }) => source.partition)),
    numberArray(sources.map(({ generation }) => generation)),
  ];
}

function statesOf(sources: readonly SourceToWrite[]): string[] {
  return [
    ...placesOf(sources),
    textArray(sources.map(({ state }) => String(state.xid))),
    numberArray(sources.map(({ state }) => state.position)),
    textArray(sources.map(({ state }) => `{${state.done.join(',')}}`)),
    numberArray(sources.map(({ state }) => state.attempt)),
  ];
}

/** Bytes as base64; half a pair of surrogates, which no text of the database can have, as the replacement character. */
function json(rows: readonly (readonly (string | number | null | Uint8Array)[])[]): string {
  return JSON.stringify(
    rows.map((row) =>
      row.map((value) => {
        if (typeof value === 'string') return Buffer.from(value).toString();
        if (value instanceof Uint8Array)
          return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64');
        return value;
      }),
    ),
  );
}
