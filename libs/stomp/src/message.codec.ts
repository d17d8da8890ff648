import { isUtf8 } from 'node:buffer';
import type { HeaderValue, RawHeaders } from 'nestjs-eventing';
import { eachHeader, type Frame, unescapeHeader } from './frame.reader.js';
import { escapeHeader, header } from './frame.writer.js';

/** What the headers of a message are called here; a dead letter's id, in a spelling that the broker's selectors can say. */
export const LETTER_ID = 'eventing_letter';
const TIME = 'eventing-time';
const KEY = 'eventing-key';
const ATTEMPT = 'eventing-attempt';
const NOT_BEFORE = 'eventing-not-before';
/** Before the name of a header that means something to STOMP or to the broker. */
const OWN = 'eventing-x-';
/** Before the name of a header whose value is not text: base64. */
const BYTES = 'eventing-b-';
const GROUP = 'JMSXGroupID';
/** As it comes back. */
const GROUP_PROPERTY = '_AMQ_GROUP_ID';
/** What the broker says of messages that came by AMQP. */
const AMQP_CONTENT_TYPE = 'JMS_AMQP_ContentType';
const AMQP_BODY = 'JMS_AMQP_ORIGINAL_ENCODING';
const AMQP_MAP = '7';
const PARTITION_KEY = 'cloudEvents:partitionkey';

/** What the broker puts beside, or leaves in, a message: nobody's header. */
const TRANSPORT = new Set([
  ...[
    'subscription',
    'content-length',
    'message-id',
    'destination',
    'destination-type',
    'subscription-type',
    'expires',
  ],
  ...['redelivered', 'priority', 'persistent', 'timestamp', 'ack', 'receipt', 'transaction', 'ingress-timestamp'],
  ...['JMSXUserID', 'id', LETTER_ID],
]);
/** What the broker acts on, and other programs' messages have: handed over as they are, and never given to it as our own. */
const MEANINGFUL = new Set([
  'correlation-id',
  'reply-to',
  'type',
  'selector',
  'login',
  'passcode',
  'JMSXGroupID',
  '__proto__',
]);
const BROKERS_OWN = /^(?:_?AMQ|JMS|NATIVE_)/;
const NAME_CACHE = 1_024;

/** A message as it goes to the broker. */
export interface OutgoingFrame {
  /** An address, or one queue of it. */
  readonly destination: string;
  /** Undefined for one queue. */
  readonly routing: 'MULTICAST' | 'ANYCAST' | undefined;
  readonly durable: boolean;
  readonly time: number;
  readonly key: string | undefined;
  readonly headers: RawHeaders;
  readonly body: Uint8Array;
  /** Not to be delivered before; with the attempt that it then is. */
  readonly deferred?: { readonly notBefore: number; readonly attempt: number };
  readonly letter?: string;
}

/** Names → as they are written: pure, and bounded. */
const wireNames = new Map<string, string>();

/** A name as it is written: escaped, and out of the way of what STOMP and the broker have names for. */
function wireName(name: string): string {
  let wire = wireNames.get(name);
  if (wire === undefined) {
    const meant = TRANSPORT.has(name) || MEANINGFUL.has(name) || BROKERS_OWN.test(name) || isOurs(name);
    wire = escapeHeader(meant ? OWN + name : name);
    if (wireNames.size >= NAME_CACHE) wireNames.clear();
    wireNames.set(name, wire);
  }
  return wire;
}

function isOurs(name: string): boolean {
  return (
    name.startsWith(OWN) ||
    name.startsWith(BYTES) ||
    name === KEY ||
    name === TIME ||
    name === ATTEMPT ||
    name === NOT_BEFORE
  );
}

/** The head of a SEND frame, without a receipt. @param duplicateId by which the broker knows a message that it has already */
export function encodeHead(frame: OutgoingFrame, duplicateId: string): string {
  const { destination, routing, durable, time, key, headers, deferred, letter } = frame;
  let head =
    `SEND\ndestination:${escapeHeader(destination)}\npersistent:${durable}\n` +
    `_AMQ_DUPL_ID:${duplicateId}\n${TIME}:${time}\n`;
  // Artemis reuses the route of a connection's message before, where address and type are the same, also for a message to one queue
  // of that address, which then reaches them all. Without a type it looks again.
  if (routing !== undefined) head += `destination-type:${routing}\n`;
  // The broker has a field for it, which consumers by AMQP and JMS see as well; it takes no empty one.
  if (key !== undefined)
    head += key === '' || key.includes('\u0000') ? headerLine(KEY, BYTES + KEY, key) : header(GROUP, key);
  if (deferred !== undefined) {
    const at = Math.ceil(deferred.notBefore);
    head += `AMQ_SCHEDULED_TIME:${at}\n${NOT_BEFORE}:${at}\n${ATTEMPT}:${deferred.attempt}\n`;
  }
  if (letter !== undefined) head += header(LETTER_ID, letter);
  for (const name in headers) {
    const value = headers[name] as HeaderValue;
    if (typeof value !== 'string' || value.includes('\u0000'))
      head += headerLine(wireName(name), escapeHeader(BYTES + name), value);
    else head += `${wireName(name)}:${escapeHeader(value)}\n`;
  }
  return `${head}content-length:${frame.body.byteLength}\n`;
}

/** A line of text, or of base64 under another name, where the value is not text. Names are escaped already. */
function headerLine(name: string, bytesName: string, value: HeaderValue): string {
  if (typeof value === 'string' && !value.includes('\u0000')) return `${name}:${escapeHeader(value)}\n`;
  const bytes = Buffer.from(value as Uint8Array);
  if (isUtf8(bytes) && !bytes.includes(0)) return `${name}:${escapeHeader(bytes.toString())}\n`;
  return `${bytesName}:${bytes.toString('base64')}\n`;
}

/** A message as it came from the broker. */
export interface IncomingMessage {
  /** For ACK; another one each time that it is delivered. */
  readonly ackId: string;
  /** The broker's own number of it, the same each time. */
  readonly number: string;
  readonly subscription: string;
  readonly key: string | undefined;
  readonly time: number;
  readonly attempt: number;
  readonly notBefore: number | undefined;
  readonly durable: boolean;
  readonly letter: string | undefined;
  /** The broker has no STOMP for its body, and sent none. */
  readonly bodiless: boolean;
  /** When the broker got it, milliseconds since 1970. */
  readonly stored: number;
  readonly headers: RawHeaders;
  readonly body: Buffer;
}

/** Names as they come → what they mean: pure, and bounded, as foreign names may be many. */
const names = new Map<string, string | undefined>();

/** What a name stands for: itself, the name that it was kept from, or undefined for what is nobody's header. */
function nameOf(raw: string): string | undefined {
  let name: string | undefined = unescapeHeader(raw);
  if (TRANSPORT.has(name) || (BROKERS_OWN.test(name) && !name.startsWith('JMSX'))) name = undefined;
  if (names.size >= NAME_CACHE) names.clear();
  names.set(raw, name);
  return name;
}

/** Reads a MESSAGE frame, of our own or of anybody. Of a repeated header the first counts. @param now for what tells no time */
export function decodeMessage({ head, body }: Frame, now: number): IncomingMessage {
  const headers: Record<string, HeaderValue> = {};
  // Before all that the sender had a say in.
  const first: Record<string, string> = {};
  let key: string | undefined;
  let [time, stored, attempt] = [NaN, 0, 1];
  let notBefore: number | undefined;
  let letter: string | undefined;
  eachHeader(head, (raw, value) => {
    const name = names.has(raw) ? names.get(raw) : nameOf(raw);
    if (name === undefined) {
      if (first[raw] === undefined) first[raw] = value;
      return;
    }
    switch (name) {
      case TIME:
        if (Number.isNaN(time)) time = whole(value) ?? NaN;
        return;
      case KEY:
        key ??= unescapeHeader(value);
        return;
      case ATTEMPT:
        attempt = Math.max(1, whole(value) ?? 1);
        return;
      case NOT_BEFORE:
        notBefore ??= whole(value);
        return;
    }
    if (name.startsWith('eventing-')) {
      if (name === BYTES + KEY) key ??= Buffer.from(value, 'base64').toString();
      else if (name.startsWith(BYTES)) put(headers, name.slice(BYTES.length), Buffer.from(value, 'base64'));
      else put(headers, name.startsWith(OWN) ? name.slice(OWN.length) : name, unescapeHeader(value));
      return;
    }
    if (name === '__proto__') put(headers, name, unescapeHeader(value));
    else headers[name] ??= unescapeHeader(value);
  });
  letter = first[LETTER_ID] === undefined ? undefined : unescapeHeader(first[LETTER_ID]);
  stored = whole(first['timestamp'] ?? '') ?? 0;
  if (first[GROUP_PROPERTY] !== undefined) key ??= unescapeHeader(first[GROUP_PROPERTY]);
  const contentType = first[AMQP_CONTENT_TYPE];
  if (contentType !== undefined) headers['content-type'] ??= unescapeHeader(contentType);
  const partitionKey = headers[PARTITION_KEY];
  const messageId = first['message-id'] ?? '';
  return {
    ackId: messageId,
    number: messageId.slice(messageId.indexOf(',') + 1),
    subscription: first['subscription'] ?? '',
    key: key ?? (typeof partitionKey === 'string' ? partitionKey : undefined),
    time: Number.isNaN(time) ? stored || now : time,
    attempt,
    notBefore,
    durable: first['persistent'] === 'true',
    letter,
    bodiless: body.length === 0 && first[AMQP_BODY] === AMQP_MAP,
    stored,
    headers,
    body,
  };
}

function put(headers: Record<string, HeaderValue>, name: string, value: HeaderValue): void {
  if (Object.hasOwn(headers, name)) return;
  Object.defineProperty(headers, name, { value, enumerable: true, configurable: true, writable: true });
}

function whole(text: string): number | undefined {
  if (!/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : undefined;
}
