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

/** Whose deferred messages they are, and which member of the subscription asks. */
export interface DeferredOwner {
  /** The subscription, or one process of it. */
  readonly target: string;
  /** Undefined where no other process can have them. */
  readonly member: string | undefined;
}

/** A source that a member has, with its fencing token. */
export interface Holding extends Source {
  readonly generation: number;
}

/** Deferred messages of one source. */
export interface HeldMessages extends Holding {
  readonly numbers: readonly number[];
}

/** How much to take of one source. */
export interface Take extends Holding {
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

/**
 * Messages that wait for their time, or that one subscription alone gets. Due by the clock of the database. Who has lost a source changes
 * nothing of it: its position is locked with the fencing token before.
 */
export class DeferredTable {
  private readonly taking: Texts;
  private readonly deferring: Texts;
  private readonly returning: Texts;
  private readonly removing: Texts;

  constructor(
    private readonly database: () => Database,
    private readonly schema: string,
  ) {
    const own = `d.target = $1 AND d.channel = s.channel AND d.partition = s.partition`;
    // A suspect that is tried once more has its crash counted; who merely waited beside it has not.
    this.taking = fenced(
      schema,
      'unnest($3::text[], $4::smallint[], $5::bigint[], $6::integer[], $7::boolean[]) WITH ORDINALITY',
      'channel, partition, generation, most, suspects, number',
      `, due AS (
        SELECT s.number AS source, d.number FROM ours s
        CROSS JOIN LATERAL (
          SELECT d.number FROM ${schema}.deferred d
          WHERE ${own} AND d.due_at <= now() AND d.taken = s.suspects ORDER BY d.due_at, d.number LIMIT s.most
        ) d
      ), taken AS (
        UPDATE ${schema}.deferred d SET taken = true, crashes = d.crashes + d.taken::integer
        FROM due WHERE d.number = due.number
        RETURNING due.source, d.number, d.attempt + greatest(d.crashes - 1, 0) AS attempt, d.origin, d.time, d.key, d.headers, d.body, d.due_at
      ), coming AS (
        SELECT min(d.due_at) AS due_at FROM given s
        CROSS JOIN LATERAL (
          SELECT d.due_at FROM ${schema}.deferred d WHERE ${own} AND d.due_at > now() ORDER BY d.due_at LIMIT 1
        ) d
      ) SELECT ceil(extract(epoch FROM (coming.due_at - now())) * 1000)::bigint AS next_due,
          t.source, t.number, t.attempt, t.origin, t.time, t.key, t.headers, t.body
        FROM coming LEFT JOIN taken t ON true ORDER BY t.due_at, t.number`,
      // Mostly there is nothing, and then nothing is locked.
      `EXISTS (SELECT 1 FROM ${schema}.deferred d WHERE ${own} AND d.due_at <= now() AND d.taken = s.suspects)`,
    );
    const given = 'unnest($3::text[], $4::smallint[], $5::bigint[])';
    const change = (statement: string): Texts =>
      fenced(
        schema,
        given,
        'channel, partition, generation',
        `${statement} ours s WHERE ${own} AND d.number = ANY($6::bigint[])`,
      );
    const update = `UPDATE ${schema}.deferred d SET taken = false, crashes = 0`;
    this.returning = change(`${update} FROM`);
    this.deferring = change(
      `${update}, due_at = now() + $7::bigint * interval '1 millisecond', attempt = $8::integer FROM`,
    );
    this.removing = change(`DELETE FROM ${schema}.deferred d USING`);
  }

  async take(owner: DeferredOwner, takes: readonly Take[]): Promise<Taken> {
    const { rows } = await this.database().query<DeferredRow>(textFor(this.taking, owner), [
      ...valuesOf(owner, takes),
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
  async again(owner: DeferredOwner, held: HeldMessages, attempt: number, wait: number): Promise<void> {
    const values = [...valuesOf(owner, [held]), held.numbers, wait, attempt];
    await this.database().query(textFor(this.deferring, owner), values);
  }

  /** Given back in good order: no crash. */
  async giveBack(owner: DeferredOwner, held: readonly HeldMessages[]): Promise<void> {
    await this.change(this.database(), this.returning, owner, held);
  }

  async remove(sql: Sql, owner: DeferredOwner, held: readonly HeldMessages[]): Promise<void> {
    await this.change(sql, this.removing, owner, held);
  }

  private async change(sql: Sql, texts: Texts, owner: DeferredOwner, held: readonly HeldMessages[]): Promise<void> {
    const numbers = held.flatMap((each) => each.numbers);
    if (numbers.length > 0) await sql.query(textFor(texts, owner), [...valuesOf(owner, held), numbers]);
  }
}

/** A statement for a target that processes share, and for one that is a single process's. */
interface Texts {
  readonly shared: string;
  readonly own: string;
}

/**
 * Begins with `ours`: what is given, as far as it is still the member's, each locked so that it stays so until the statement is done.
 *
 * @param wanted which of the given `s` are of interest
 */
function fenced(schema: string, given: string, columns: string, rest: string, wanted = 'true'): Texts {
  const held = `SELECT s.* FROM given s JOIN ${schema}.positions p
    ON p.subscription = $1 AND p.channel = s.channel AND p.partition = s.partition AND p.owner = $2 AND p.generation = s.generation
    WHERE ${wanted} ORDER BY p.channel, p.partition FOR UPDATE OF p`;
  const text = (ours: string): string =>
    `WITH given AS (SELECT * FROM ${given} AS s(${columns})), ours AS MATERIALIZED (${ours}) ${rest}`;
  return { shared: text(held), own: text('SELECT s.* FROM given s WHERE $2::text IS NULL') };
}

function textFor({ shared, own }: Texts, { member }: DeferredOwner): string {
  return member === undefined ? own : shared;
}

function valuesOf({ target, member }: DeferredOwner, holdings: readonly Holding[]): unknown[] {
  return [
    target,
    member ?? null,
    holdings.map(({ channel }) => channel),
    holdings.map(({ partition }) => partition),
    holdings.map(({ generation }) => generation),
  ];
}
