import { createHash, randomUUID } from 'node:crypto';
import { AmqpReader, type AmqpValue, Opaque } from './amqp.reader.js';
import { ATTEMPT, BODY_KIND, CLOUD_EVENTS, CLOUD_EVENTS_JMS, CONTENT_TYPE, DELIVERY_TIME, FOREIGN, MARK, STREAM_OFFSET } from './message.names.js'; // prettier-ignore

const EMPTY = Buffer.alloc(0);
const OURS = new Set<string>(Object.values(MARK));
const IDENTITY = 32;

/** A message as it was received. Made of any bytes whatever: what cannot be read becomes a body. */
export class ReceivedMessage {
  headers: Record<string, string | Uint8Array> = {};
  body: Buffer = EMPTY;
  key: string | undefined;
  /** Milliseconds since 1970; undefined where it does not say. */
  time: number | undefined;
  /** How often it was delivered before, to somebody who did not settle it. */
  deliveryCount = 0;
  attempt = 1;
  notBefore: number | undefined;
  /** A dead letter's. */
  letter: string | undefined;
  stamp = 0;
  isTombstone = false;
  endMark: string | undefined;
  /** In a stream. */
  offset: number | undefined;
  /** Where properties, application properties and body begin: what the broker does not change. */
  bareAt = 0;
  hasId = false;
  private known: string | undefined;

  constructor(readonly payload: Buffer) {}

  get bare(): Buffer {
    return this.payload.subarray(this.bareAt);
  }

  /**
   * Tells it from every other message of its channel: a digest of the bytes that never change. Two messages of foreign software
   * without a message id may be equal to the last byte; where it is delivered for the first time such a one is told from all others
   * at random: after a crash its dead letter may be there twice, but none is taken for another's.
   */
  get identity(): string {
    if (this.known === undefined) {
      const hash = createHash('sha256').update(this.bare);
      if (!this.hasId && this.deliveryCount === 0) hash.update(randomUUID());
      this.known = hash.digest('hex').slice(0, IDENTITY);
    }
    return this.known;
  }
}

export function decodeMessage(payload: Buffer): ReceivedMessage {
  const message = new ReceivedMessage(payload);
  try {
    read(message, new AmqpReader(payload));
  } catch {
    message.headers = { [BODY_KIND]: 'malformed' };
    message.body = payload;
    message.key = undefined;
    message.bareAt = 0;
  }
  return message;
}

function read(message: ReceivedMessage, reader: AmqpReader): void {
  let bareAt: number | undefined;
  const parts: Buffer[] = [];
  let kind: string | undefined;
  let bodyAt = 0;
  while (reader.more) {
    const sectionAt = reader.at;
    const section = reader.descriptor();
    if (section >= 0x73 && section <= 0x77) bareAt ??= sectionAt;
    switch (section) {
      case 0x70:
        readHeader(message, reader);
        break;
      case 0x72:
        readAnnotations(message, reader);
        break;
      case 0x73:
        readProperties(message, reader);
        break;
      case 0x74:
        readHeaders(message, reader);
        break;
      case 0x75: {
        const code = reader.byte();
        if (code !== 0xa0 && code !== 0xb0) throw new RangeError('data are binary');
        parts.push(reader.bytes(code === 0xa0 ? reader.byte() : reader.uint()));
        break;
      }
      case 0x76:
        if (kind !== 'sequence') bodyAt = sectionAt;
        kind = 'sequence';
        reader.skip();
        parts.splice(0, parts.length, reader.buffer.subarray(bodyAt, reader.at));
        break;
      case 0x77: {
        const value = reader.value();
        if (typeof value === 'string') parts.push(Buffer.from(value));
        else if (value instanceof Uint8Array) parts.push(Buffer.from(value));
        else if (value !== null) {
          // Text and bytes are what they are; the rest keeps its encoding.
          kind = 'value';
          parts.push(reader.buffer.subarray(sectionAt, reader.at));
        }
        break;
      }
      default:
        // Delivery annotations, a footer, and what does not exist yet.
        reader.skip();
    }
  }
  message.bareAt = bareAt ?? 0;
  message.body = parts.length === 1 ? (parts[0] as Buffer) : parts.length === 0 ? EMPTY : Buffer.concat(parts);
  if (kind !== undefined) message.headers[BODY_KIND] = kind;
}

function readHeader(message: ReceivedMessage, reader: AmqpReader): void {
  const { count, end } = reader.compound('list');
  for (let field = 0; field < count && reader.at < end; field++) {
    const value = reader.value();
    if (field === 4 && typeof value === 'number') message.deliveryCount = value;
  }
  reader.at = end;
}

function readAnnotations(message: ReceivedMessage, reader: AmqpReader): void {
  const { count, end } = reader.compound('map');
  for (let entry = 0; entry + 1 < count && reader.at < end; entry += 2) {
    const name = reader.value();
    const value = reader.value();
    if (name === ATTEMPT && typeof value === 'number' && value >= 1) message.attempt = Math.trunc(value);
    else if (name === STREAM_OFFSET && typeof value === 'number') message.offset = value;
    else if (name === DELIVERY_TIME) {
      const time = value instanceof Date ? value.getTime() : value;
      if (typeof time === 'number') message.notBefore = time;
    }
  }
  reader.at = end;
}

function readProperties(message: ReceivedMessage, reader: AmqpReader): void {
  const { count, end } = reader.compound('list');
  for (let field = 0; field < count && reader.at < end; field++) {
    const value = reader.value();
    if (value === null) continue;
    switch (field) {
      case 0:
        message.hasId = true;
        break;
      case 3:
        setHeader(message, FOREIGN.subject, value);
        break;
      case 4:
        setHeader(message, FOREIGN.replyTo, value);
        break;
      case 5:
        setHeader(message, FOREIGN.correlationId, value);
        break;
      case 6:
        setHeader(message, CONTENT_TYPE, value);
        break;
      case 7:
        setHeader(message, FOREIGN.contentEncoding, value);
        break;
      case 9:
        if (value instanceof Date && Number.isFinite(value.getTime())) message.time = value.getTime();
        break;
      case 10:
        if (typeof value === 'string') message.key = value;
        break;
      default:
    }
  }
  reader.at = end;
}

function readHeaders(message: ReceivedMessage, reader: AmqpReader): void {
  const { count, end } = reader.compound('map');
  for (let entry = 0; entry + 1 < count && reader.at < end; entry += 2) {
    const name = reader.value();
    const value = reader.value();
    if (typeof name !== 'string') continue;
    if (OURS.has(name)) {
      if (name === MARK.letter && typeof value === 'string') message.letter = value;
      else if (name === MARK.stamp && typeof value === 'number') message.stamp = value;
      else if (name === MARK.removed) message.isTombstone = true;
      else if (name === MARK.end && typeof value === 'string') message.endMark = value;
    } else if (name.startsWith(CLOUD_EVENTS_JMS)) {
      const usual = CLOUD_EVENTS + name.slice(CLOUD_EVENTS_JMS.length);
      if (message.headers[usual] === undefined) setHeader(message, usual, value);
    } else setHeader(message, name, value);
  }
  reader.at = end;
}

function setHeader(message: ReceivedMessage, name: string, value: AmqpValue): void {
  const text = headerValue(value);
  if (text === undefined) return;
  if (name !== '__proto__') message.headers[name] = text;
  else Object.defineProperty(message.headers, name, { value: text, enumerable: true, configurable: true });
}

function headerValue(value: AmqpValue): string | Uint8Array | undefined {
  if (typeof value === 'string' || value instanceof Uint8Array) return value;
  if (value === null) return undefined;
  if (value instanceof Opaque) return value.bytes;
  if (value instanceof Date) return Number.isFinite(value.getTime()) ? value.toISOString() : String(value.getTime());
  return String(value);
}
