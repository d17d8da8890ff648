import type { OutgoingMessage } from 'nestjs-eventing';
import { numberArray, textArray } from '../sql/array.literal.js';
import type { Sql } from '../sql/database.js';
import { encodeHeaders } from '../log/header.codec.js';
import { deferredWake, logWake } from '../log/wake.ups.js';

/** A message with its place. */
export interface PlacedMessage {
  readonly message: OutgoingMessage;
  readonly partition: number;
}

/** Who publishes, and the how many-eth batch of it this is: one that was stored is not stored again. */
export interface BatchNumber {
  readonly publisher: string;
  readonly number: number;
}

/** Of a message, in the log as where it waits for one subscription. */
export const MESSAGE_COLUMNS = 'channel, partition, time, id, key, headers, body';

/** Has a row where the batch `$2` of the publisher `$1` was not stored before. Whatever waits for the same publisher's row goes after. */
export function freshBatch(schema: string): string {
  return `fresh AS (
      INSERT INTO ${schema}.publishers AS p (instance, batch) VALUES ($1, $2)
      ON CONFLICT (instance) DO UPDATE SET batch = excluded.batch, updated_at = now() WHERE p.batch < excluded.batch
      RETURNING 1
    )`;
}

/** Stores events, each batch in one statement. */
export class EventWriter {
  private readonly intoLog: string;
  private readonly intoDeferred: string;

  constructor(
    schema: string,
    private readonly service: string,
    /** Notified of what was stored. */
    private readonly notified: string,
  ) {
    const fresh = freshBatch(schema);
    // Bodies come as one value, of which each row takes its part, and headers as one JSON: neither is spelled as an array.
    const messages = `ROWS FROM (unnest($5::text::text[], $6::text::smallint[], $7::text::bigint[], $8::text::text[], $9::text::text[],
      $10::text::integer[], $11::text::integer[]), json_array_elements($12::json)`;
    const given = 'channel, partition, time, id, key, at, size, headers';
    const columns = MESSAGE_COLUMNS;
    const row = `m.channel, m.partition, m.time, m.id, m.key, m.headers, substring($13::bytea FROM m.at FOR m.size)`;
    this.intoLog = `WITH ${fresh}, stored AS (
      INSERT INTO ${schema}.events (${columns})
      SELECT ${row} FROM ${messages}) AS m(${given}) WHERE EXISTS (SELECT 1 FROM fresh)
    ) SELECT pg_notify($3, payload) FROM unnest($4::text::text[]) AS payload`;
    // A subscription that each process has for itself gets it in all of them, those included that were not heard of for a while.
    this.intoDeferred = `WITH ${fresh}, stored AS (
      INSERT INTO ${schema}.deferred (target, due_at, attempt, ${columns})
      SELECT coalesce(own.subscription || '#' || own.member, m.target), now(), 1, ${row}
      FROM ${messages}, unnest($14::text::text[])) AS m(${given}, target)
      LEFT JOIN ${schema}.members own ON own.subscription = m.target AND own.per_process
      WHERE EXISTS (SELECT 1 FROM fresh)
    ) SELECT pg_notify($3, payload) FROM unnest($4::text::text[]) AS payload`;
  }

  /** For whoever reads these channels. */
  async store(sql: Sql, batch: BatchNumber, messages: readonly PlacedMessage[]): Promise<void> {
    const wakes = [...new Set(messages.map(({ message }) => logWake(message.channel)))];
    await sql.query(this.intoLog, [
      batch.publisher,
      batch.number,
      this.notified,
      textArray(wakes),
      ...columnsOf(messages),
    ]);
  }

  /** For the one subscription that each names in `to`. */
  async storeTargeted(sql: Sql, batch: BatchNumber, messages: readonly PlacedMessage[]): Promise<void> {
    const targets = messages.map(({ message }) => `${this.service}.${message.to ?? ''}`);
    const wakes = [...new Set(targets.map(deferredWake))];
    const values = [
      ...[batch.publisher, batch.number, this.notified, textArray(wakes)],
      ...columnsOf(messages),
      textArray(targets),
    ];
    await sql.query(this.intoDeferred, values);
  }
}

/** Channels, partitions, times, ids, keys, where each body begins (from 1), its size, headers, bodies. */
export function columnsOf(messages: readonly PlacedMessage[]): unknown[] {
  const begins: number[] = [];
  let at = 1;
  for (const { message } of messages) {
    begins.push(at);
    at += message.body.byteLength;
  }
  return [
    textArray(messages.map(({ message }) => message.channel)),
    numberArray(messages.map(({ partition }) => partition)),
    numberArray(messages.map(({ message }) => Math.trunc(message.time))),
    textArray(messages.map(({ message }) => message.id)),
    textArray(messages.map(({ message }) => message.key ?? null)),
    numberArray(begins),
    numberArray(messages.map(({ message }) => message.body.byteLength)),
    `[${messages.map(({ message }) => encodeHeaders(message.headers)).join(',')}]`,
    Buffer.concat(messages.map(({ message }) => message.body)),
  ];
}
