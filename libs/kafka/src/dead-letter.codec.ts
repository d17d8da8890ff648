import type { DeadLetter, DeadLetterReason, RawHeaders } from 'nestjs-eventing';
import type { IncomingRecord } from './kafka.driver.js';

/** The one header that a dead letter has beside the original ones. */
export const DEAD_LETTER_HEADER = 'eventing-dead-letter';

const MAX_STACK = 4_096;
const MAX_TEXT = 2_048;

/** All that is known of a letter except its bytes and headers, as JSON of at most a few kilobytes. */
export function encodeLetter(letter: DeadLetter): RawHeaders {
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
export function decodeLetter(id: string, record: IncomingRecord): DeadLetter {
  const { [DEAD_LETTER_HEADER]: json, ...headers } = record.headers;
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
    firstFailedAt: number(facts['firstFailedAt']) ?? record.time,
    deadAt: number(facts['deadAt']) ?? record.time,
    ...optional('event', eventOf(event)),
    message: {
      key: string(facts['key']),
      headers,
      body: record.value ?? new Uint8Array(0),
      time: number(facts['time']) ?? record.time,
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

function parse(json: Uint8Array | undefined): Record<string, unknown> {
  try {
    return json === undefined ? {} : fields(JSON.parse(Buffer.from(json).toString('utf8')));
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
