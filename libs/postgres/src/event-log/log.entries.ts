import type { FoundDeadLetter, HandledEntry, LogError, SentEntry, SentOutcome } from 'nestjs-eventing';
import type { Row } from '../sql/database.js';

export interface SentRow extends Row {
  readonly position: string;
  readonly provider: string;
  readonly channel: string;
  readonly recipient: string | null;
  readonly key: string | null;
  readonly id: string;
  readonly event: string | null;
  readonly version: string;
  readonly outcome: SentOutcome;
  readonly attempts: number;
  readonly size: number;
  readonly error_name: string | null;
  readonly error_code: string | null;
  readonly error_message: string | null;
  readonly stored_at: number;
  readonly settled_at: number | null;
}

export interface HandledRow extends Row {
  /** With its service. */
  readonly listener: string;
  readonly event: string | null;
  readonly version: number | null;
  readonly id: string;
  readonly source: string;
  readonly channel: string | null;
  readonly key: string | null;
  readonly attempts: number | null;
  readonly place: string;
  readonly at: number;
}

export function sentEntry(row: SentRow): SentEntry {
  const { outcome, provider, channel, id, attempts, size, event } = row;
  const error = errorOf(row);
  return {
    ...{ outcome, provider, channel, id, attempts, size, storedAt: row.stored_at },
    ...present({ recipient: row.recipient, event, key: row.key, error, settledAt: row.settled_at }),
    ...(event === null ? {} : { version: Number(row.version) }),
  };
}

export function handledEntry(row: HandledRow, service: string): HandledEntry {
  const { event, version, channel, key, attempts, id, source, at } = row;
  const listener = row.listener.slice(service.length + 1);
  return { outcome: 'handled', listener, id, source, at, ...present({ event, version, channel, key, attempts }) };
}

export function failedEntry(letter: FoundDeadLetter): HandledEntry {
  const { id, provider, reason, listener, channel, attempts, deadAt, event, error, message } = letter;
  const { name, code, message: text } = error;
  return {
    outcome: 'failed',
    ...{ listener, channel, attempts, at: deadAt },
    ...(event === undefined ? {} : { event: event.name, version: event.version, id: event.id }),
    ...(message.key === undefined ? {} : { key: message.key }),
    error: code === undefined ? { name, message: text } : { name, code, message: text },
    letter: { id, provider, reason },
  };
}

function errorOf({ error_name: name, error_code: code, error_message: message }: SentRow): LogError | null {
  if (name === null) return null;
  return code === null ? { name, message: message ?? '' } : { name, code, message: message ?? '' };
}

/** Without what is null. */
function present<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } {
  const there = Object.entries(fields).filter(([, value]) => value !== null);
  return Object.fromEntries(there) as { [K in keyof T]?: NonNullable<T[K]> };
}
