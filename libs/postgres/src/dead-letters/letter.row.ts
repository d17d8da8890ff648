import { createHash } from 'node:crypto';
import type { DeadLetter, DeadLetterReason, SequenceKey } from 'nestjs-eventing';
import { decodeHeaders, encodeHeaders } from '../log/header.codec.js';

const MAX_STACK = 4_096;
const MAX_TEXT = 2_048;

/** Columns of a dead letter that its store fills, each with its type; the same order as `letterValues`. */
export const LETTER_COLUMNS: readonly (readonly [name: string, type: string])[] = [
  ['id', 'text'],
  ['service', 'text'],
  ['listener', 'text'],
  ['channel', 'text'],
  ['reason', 'text'],
  ['error_name', 'text'],
  ['error_code', 'text'],
  ['error_message', 'text'],
  ['error_stack', 'text'],
  ['attempts', 'integer'],
  ['first_failed_at', 'bigint'],
  ['dead_at', 'bigint'],
  ['event_name', 'text'],
  ['event_version', 'integer'],
  ['event_id', 'text'],
  ['key', 'text'],
  ['headers', 'json'],
  ['body', 'bytea'],
  ['time', 'bigint'],
  ['position', 'text'],
  ['sequence', 'text'],
];

export type LetterValue = string | number | null | Uint8Array;

/** A dead letter as values of its columns. */
export function letterValues(letter: DeadLetter, service: string): LetterValue[] {
  const { error, event, message } = letter;
  return [
    letter.id,
    service,
    clip(letter.listener),
    clip(letter.channel),
    letter.reason,
    clip(error.name),
    optional(error.code),
    clip(error.message),
    error.stack === undefined ? null : clip(error.stack, MAX_STACK),
    letter.attempts,
    Math.trunc(letter.firstFailedAt),
    Math.trunc(letter.deadAt),
    optional(event?.name),
    event?.version ?? null,
    optional(event?.id),
    message.key ?? null,
    encodeHeaders(message.headers),
    message.body,
    Math.trunc(message.time),
    clip(message.position),
    letter.sequence === undefined || message.key === undefined
      ? null
      : sequenceName({ listener: letter.listener, channel: letter.channel, key: message.key }),
  ];
}

/** A row of dead letters in the table, under a name that fits an index however long the key is. */
export function sequenceName({ listener, channel, key }: SequenceKey): string {
  return createHash('sha256')
    .update(JSON.stringify([listener, channel, key]))
    .digest('base64url');
}

export interface LetterRow extends Record<string, unknown> {
  readonly number: string | number;
  readonly id: string;
  readonly listener: string;
  readonly channel: string;
  readonly reason: string;
  readonly error_name: string;
  readonly error_code: string | null;
  readonly error_message: string;
  readonly error_stack: string | null;
  readonly attempts: number;
  readonly first_failed_at: string | number;
  readonly dead_at: string | number;
  readonly event_name: string | null;
  readonly event_version: number | null;
  readonly event_id: string | null;
  readonly key: string | null;
  readonly headers: unknown;
  readonly body: Uint8Array;
  readonly time: string | number;
  readonly position: string;
  /** `first`, `released` or `waiting`; null outside of a sequence. */
  readonly place: string | null;
}

/** What a `LetterRow` is read from: a row `d` of the table. */
export function letterColumns(schema: string): string {
  return `d.number, d.id, d.listener, d.channel, d.reason, d.error_name, d.error_code, d.error_message, d.error_stack, d.attempts,
    d.first_failed_at, d.dead_at, d.event_name, d.event_version, d.event_id, d.key, d.headers, d.body, d.time, d.position,
    CASE WHEN d.sequence IS NULL THEN NULL WHEN d.is_released THEN 'released' WHEN EXISTS (SELECT 1 FROM ${schema}.dead_letters f
      WHERE f.service = d.service AND f.sequence = d.sequence AND f.number < d.number) THEN 'waiting' ELSE 'first' END AS place`;
}

export function letterOf(row: LetterRow, service: string): DeadLetter {
  const { error_code: code, error_stack: stack, event_name: name, event_version: version, event_id: eventId } = row;
  return {
    id: row.id,
    service,
    listener: row.listener,
    channel: row.channel,
    reason: row.reason as DeadLetterReason,
    error: {
      name: row.error_name,
      message: row.error_message,
      ...(code === null ? {} : { code }),
      ...(stack === null ? {} : { stack }),
    },
    ...(row.place === null ? {} : { sequence: row.place as NonNullable<DeadLetter['sequence']> }),
    attempts: row.attempts,
    firstFailedAt: Number(row.first_failed_at),
    deadAt: Number(row.dead_at),
    ...(name === null || version === null || eventId === null ? {} : { event: { name, version, id: eventId } }),
    message: {
      key: row.key ?? undefined,
      headers: decodeHeaders(row.headers),
      body: row.body,
      time: Number(row.time),
      position: row.position,
    },
  };
}

function optional(text: string | undefined): string | null {
  return text === undefined ? null : clip(text);
}

/** PostgreSQL's text has no NUL. */
function clip(text: string, most = MAX_TEXT): string {
  const clipped = text.length <= most ? text : `${text.slice(0, most - 1)}…`;
  return clipped.replaceAll('\0', '\uFFFD');
}
