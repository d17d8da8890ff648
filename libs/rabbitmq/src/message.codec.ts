import type { ConsumeMessage, Options } from 'amqplib';
import type { HeaderValue, RawHeaders } from 'nestjs-eventing';

// What we write beside what we are given. Names that begin with `eventing-` are reserved.
/** When it was sent, and a name of its own: `<time>-<sender>-<number>`, times and numbers in base 36. */
export const REF = 'eventing-ref';
/** Which attempt the next one is. */
export const ATTEMPT = 'eventing-attempt';
/** Milliseconds since 1970. */
export const NOT_BEFORE = 'eventing-not-before';
/** The key, as CloudEvents spells it. */
export const KEY = 'cloudEvents:partitionkey';
export const CONTENT_TYPE = 'content-type';

/** Names that mean something to us. */
export const OWN: ReadonlySet<string> = new Set([REF, ATTEMPT, NOT_BEFORE, KEY]);
/** What the broker adds. */
const BROKERS =
  /^x-(?:death|(?:first|last)-death-(?:exchange|queue|reason)|delivery-count|acquired-count|stream-offset)$/;
/** Properties that other software sets, as headers that a wire format can read. */
const PROPERTIES = [
  ['messageId', 'message-id'],
  ['correlationId', 'correlation-id'],
  ['replyTo', 'reply-to'],
  ['type', 'type'],
  ['appId', 'app-id'],
  ['contentEncoding', 'content-encoding'],
] as const;
/** Of AMQP's short strings. */
const LONGEST_TEXT = 255;
const REF_FORM = /^([0-9a-z]{1,10})-[0-9A-Za-z_-]{1,40}$/;
const LARGEST_NESTED = 16_384;

export interface Sent {
  readonly id?: string | undefined;
  readonly key: string | undefined;
  readonly headers: RawHeaders;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly ref: string;
  readonly attempt?: number;
  readonly notBefore?: number;
}

export function refOf(time: number, sender: string, number: number): string {
  return `${time.toString(36)}-${sender}-${number.toString(36)}`;
}

/** Milliseconds since 1970, out of a reference that we wrote. */
export function timeOf(ref: string): number {
  return Number.parseInt(ref, 36);
}

/** What travels beside the body. Names and sizes that AMQP cannot carry are refused by the client library, message by message. */
export function encodeProperties(sent: Sent, persistent: boolean): Options.Publish {
  const headers: Record<string, string | Buffer | number> = {};
  const options: Options.Publish = { headers, persistent, timestamp: Math.floor(sent.time / 1_000) };
  const given = sent.headers;
  for (const name in given) {
    const value = given[name];
    if (typeof value === 'string') {
      if (name === CONTENT_TYPE && isShort(value)) options.contentType = value;
      else headers[name] = value;
    } else if (value !== undefined) headers[name] = asBuffer(value);
  }
  headers[REF] = sent.ref;
  if (sent.key !== undefined) headers[KEY] = sent.key;
  if (sent.attempt !== undefined && sent.attempt > 1) headers[ATTEMPT] = sent.attempt;
  if (sent.notBefore !== undefined) headers[NOT_BEFORE] = sent.notBefore;
  if (sent.id !== undefined && isShort(sent.id)) options.messageId = sent.id;
  return options;
}

/** The headers as a listener's wire format sees them: those that were sent, whoever sent them. */
export function decodeHeaders({ properties }: ConsumeMessage): RawHeaders {
  const found: Record<string, unknown> = properties.headers ?? {};
  const headers: Record<string, HeaderValue> = {};
  for (const name of Object.keys(found)) {
    if (OWN.has(name) || (name.startsWith('x-') && BROKERS.test(name)) || name === '__proto__') continue;
    const value = found[name];
    headers[name] = typeof value === 'string' ? value : asHeader(value);
  }
  const { contentType } = properties as { contentType?: unknown };
  if (typeof contentType === 'string' && headers[CONTENT_TYPE] === undefined) headers[CONTENT_TYPE] = contentType;
  if (found[REF] === undefined)
    for (const [property, name] of PROPERTIES) {
      const value: unknown = properties[property];
      if (typeof value === 'string' && headers[name] === undefined) headers[name] = value;
    }
  return headers;
}

export interface OwnFacts {
  /** Undefined: it is not from us. */
  readonly ref: string | undefined;
  readonly key: string | undefined;
  readonly attempt: number;
  readonly notBefore: number | undefined;
  /** How often the broker took it back from a consumer. */
  readonly returns: number;
}

/** What we wrote, read as something that anybody may have written. */
export function decodeFacts({ properties }: ConsumeMessage): OwnFacts {
  const headers: Record<string, unknown> = properties.headers ?? {};
  const ref = headers[REF];
  const key = headers[KEY];
  const attempt = headers[ATTEMPT];
  const notBefore = headers[NOT_BEFORE];
  const returns = headers['x-delivery-count'];
  return {
    ref: typeof ref === 'string' && REF_FORM.test(ref) ? ref : undefined,
    key: typeof key === 'string' ? key : key === undefined || key === null ? undefined : String(asHeader(key)),
    attempt: isCount(attempt) ? Math.max(1, attempt) : 1,
    notBefore: isCount(notBefore) ? notBefore : undefined,
    returns: isCount(returns) ? returns : 0,
  };
}

/** When other software says that it was sent, in seconds as AMQP wants it or in milliseconds; undefined if it does not. */
export function foreignTime({ properties }: ConsumeMessage): number | undefined {
  const { timestamp } = properties as { timestamp?: unknown };
  if (typeof timestamp !== 'number' || !Number.isFinite(timestamp) || timestamp <= 0) return undefined;
  return timestamp > 100_000_000_000 ? Math.min(timestamp, 8_640_000_000_000_000) : timestamp * 1_000;
}

export function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** A value of any of AMQP's types as text; bytes stay bytes. */
function asHeader(value: unknown): HeaderValue {
  if (Buffer.isBuffer(value)) return value;
  if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (typeof value !== 'object' || value === null) return '';
  const { '!': type, value: inner } = value as { '!'?: unknown; value?: unknown };
  if (type === 'timestamp') return String(inner);
  if (type === 'decimal') {
    const { places, digits } = inner as { places: number; digits: number };
    return String(digits / 10 ** places);
  }
  return JSON.stringify(value).slice(0, LARGEST_NESTED);
}

/** It fits into one of AMQP's short strings. */
export function isShort(text: string): boolean {
  return text.length <= LONGEST_TEXT && (text.length <= LONGEST_TEXT / 3 || Buffer.byteLength(text) <= LONGEST_TEXT);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
