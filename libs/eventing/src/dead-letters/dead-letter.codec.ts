import type { HeaderValue, RawHeaders } from '../provider/event-provider.js';
import type { DeadLetter, DeadLetterReason } from './dead-letter.js';

/** The one header that a dead letter has beside the original ones. */
export const DEAD_LETTER_HEADER = 'eventing-dead-letter';

const MAX_STACK = 4_096;
const MAX_TEXT = 2_048;

/** A letter as it lies on a broker. */
export interface StoredLetter {
  readonly headers: RawHeaders;
  readonly body: Uint8Array | null;
  /** When it was stored, milliseconds since 1970. */
  readonly time: number;
}

/**
 * The headers of a letter on brokers that keep it as a message whose body is the original one: the original headers, and in
 * `eventing-dead-letter` all else that is known of it, as JSON of at most a few kilobytes.
 */
export function encodeDeadLetter(letter: DeadLetter): RawHeaders {
  const { error, message } = letter;
  const facts = {
    service: clip(letter.service),
    listener: clip(letter.listener),
    channel: clip(letter.channel),
    reason: letter.reason,
    error: {
      name: clip(error.name),
      code: error.code === undefined ? undefined : clip(error.code),
      message: clip(error.message),
      stack: error.stack?.slice(0, MAX_STACK),
    },
    attempts: letter.attempts,
    firstFailedAt: letter.firstFailedAt,
    deadAt: letter.deadAt,
    event: letter.event && { ...letter.event, name: clip(letter.event.name), id: clip(letter.event.id) },
    key: message.key,
    time: message.time,
    position: clip(message.position),
  };
  return { ...message.headers, [DEAD_LETTER_HEADER]: JSON.stringify(facts) };
}

/** Hostile: what is missing or of another type becomes empty, so that the letter can still be seen and removed. */
export function decodeDeadLetter(id: string, stored: StoredLetter): DeadLetter {
  const { [DEAD_LETTER_HEADER]: json, ...headers } = stored.headers;
  const facts = parse(json);
  const error = fields(facts['error']);
  const event = fields(facts['event']);
  return {
    id,
    service: string(facts['service']) ?? '',
    listener: string(facts['listener']) ?? '',
    channel: string(facts['channel']) ?? '',
    reason: (string(facts['reason']) ?? 'undecodable') as DeadLetterReason,
    error: {
      name: string(error['name']) ?? 'Error',
      message: string(error['message']) ?? '',
      ...optional('code', string(error['code'])),
      ...optional('stack', string(error['stack'])),
    },
    attempts: number(facts['attempts']) ?? 0,
    firstFailedAt: number(facts['firstFailedAt']) ?? stored.time,
    deadAt: number(facts['deadAt']) ?? stored.time,
    ...optional('event', eventOf(event)),
    message: {
      key: string(facts['key']),
      headers,
      body: stored.body ?? new Uint8Array(0),
      time: number(facts['time']) ?? stored.time,
      position: string(facts['position']) ?? '',
    },
  };
}

function eventOf(event: Record<string, unknown>): DeadLetter['event'] {
  const name = string(event['name']);
  const version = number(event['version']);
  const id = string(event['id']);
  return name === undefined || version === undefined || id === undefined ? undefined : { name, version, id };
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [N in Name]?: Value } {
  return (value === undefined ? {} : { [name]: value }) as { [N in Name]?: Value };
}

function parse(json: HeaderValue | undefined): Record<string, unknown> {
  try {
    return json === undefined
      ? {}
      : fields(JSON.parse(typeof json === 'string' ? json : Buffer.from(json).toString('utf8')));
  } catch {
    return {};
  }
}

function fields(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function string(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined;
}

function clip(text: string): string {
  return text.length <= MAX_TEXT ? text : `${text.slice(0, MAX_TEXT)}…`;
}
