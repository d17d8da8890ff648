import { EventingError } from '../errors/eventing.error.js';
import type { DeadLetter, DeadLetterReason } from './dead-letter.js';

/** Which dead letters are meant: those that satisfy all that is given. */
export interface DeadLetterFilter {
  /** A provider of the application. @default all */
  readonly provider?: string;
  /** The event's name, or `name@version`. */
  readonly event?: string;
  /** The subscription that could not handle it: a listener, or a group. */
  readonly listener?: string;
  readonly reason?: DeadLetterReason;
  /** The name or the code of the error. */
  readonly error?: string;
  /** Anywhere in the error's message, the event's id, the key, the values of headers, or the body; in any case of letters. */
  readonly text?: string;
  /** Given up at this time or later: a `Date`, or milliseconds since 1970. */
  readonly since?: Date | number;
  /** Given up at this time or before. */
  readonly until?: Date | number;
}

const REASONS: Readonly<Record<DeadLetterReason, true>> = {
  failed: true,
  rejected: true,
  undecodable: true,
  invalid: true,
  'unknown-event': true,
  'unknown-version': true,
  expired: true,
  'too-large': true,
  crashed: true,
  waiting: true,
};

/** Every reason there is, for tools. */
export const DEAD_LETTER_REASONS = Object.keys(REASONS) as readonly DeadLetterReason[];

const TEXTS = ['provider', 'event', 'listener', 'error', 'text'] as const;
const TIMES = ['since', 'until'] as const;
const KNOWN: readonly string[] = [...TEXTS, ...TIMES, 'reason'];
const LONGEST_TEXT = 500;

/**
 * As a question to each letter. A misspelled field is refused: it would mean all letters.
 * @throws EventingError EVT_INVALID_OPTIONS, naming each that cannot be used
 */
export function matcherOf(filter: DeadLetterFilter): (letter: DeadLetter) => boolean {
  const problems = Object.keys(filter)
    .filter((name) => !KNOWN.includes(name))
    .map((name) => `there is no field ${name.slice(0, 100)}: known are ${KNOWN.join(', ')}`);
  for (const name of TEXTS) {
    const value: unknown = filter[name];
    if (value !== undefined && (typeof value !== 'string' || value === '' || value.length > LONGEST_TEXT))
      problems.push(`${name} must be text of 1 to ${LONGEST_TEXT} characters`);
  }
  for (const name of TIMES)
    if (filter[name] !== undefined && !Number.isFinite(Number(filter[name])))
      problems.push(`${name} must be a Date or milliseconds since 1970`);
  if (filter.reason !== undefined && !Object.hasOwn(REASONS, filter.reason))
    problems.push(`reason ${filter.reason} is none: there are ${DEAD_LETTER_REASONS.join(', ')}`);
  if (problems.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `A filter of dead letters cannot be used: ${problems.join('; ')}.`);
  const { event, listener, reason, error } = filter;
  const text = filter.text?.toLowerCase();
  const since = filter.since === undefined ? -Infinity : Number(filter.since);
  const until = filter.until === undefined ? Infinity : Number(filter.until);
  return (letter) =>
    (listener === undefined || letter.listener === listener) &&
    (reason === undefined || letter.reason === reason) &&
    (error === undefined || letter.error.name === error || letter.error.code === error) &&
    (event === undefined || isOf(letter, event)) &&
    letter.deadAt >= since &&
    letter.deadAt <= until &&
    (text === undefined || mentions(letter, text));
}

function isOf({ event }: DeadLetter, wanted: string): boolean {
  return event !== undefined && (event.name === wanted || `${event.name}@${event.version}` === wanted);
}

/** The body comes last: it is the largest. */
function mentions({ error, event, message }: DeadLetter, text: string): boolean {
  const has = (value: string | Uint8Array | undefined): boolean =>
    value !== undefined &&
    (typeof value === 'string' ? value : Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString())
      .toLowerCase()
      .includes(text);
  return (
    has(error.message) ||
    has(event?.id) ||
    has(message.key) ||
    Object.values(message.headers).some(has) ||
    has(message.body)
  );
}
