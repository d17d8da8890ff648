import type { OutgoingMessage, RawHeaders } from 'nestjs-eventing';
import { AmqpWriter } from './amqp.writer.js';
import { ATTEMPT, CONTENT_TYPE, DELIVERY_TIME, FOREIGN } from './message.names.js';

const SECTION = { header: 0x70, annotations: 0x72, properties: 0x73, application: 0x74, data: 0x75 } as const;
/** `durable: true` and nothing else. */
const DURABLE = Buffer.from([0x00, 0x53, SECTION.header, 0xc0, 0x02, 0x01, 0x41]);
const ASCII = /^[\x20-\x7e]*$/;

export interface EncodedMessage extends Pick<OutgoingMessage, 'id' | 'key' | 'headers' | 'body' | 'time' | 'durable'> {
  /** Of the properties; what the link says is where it goes. */
  readonly to: string;
  /** Our own application properties: whole numbers become longs. */
  readonly marks?: Readonly<Record<string, string | number>>;
}

// No message is encoded while another one is.
const writer = new AmqpWriter();

/** A whole message, as it lies on the broker: one data section, headers as application properties. */
export function encodeMessage(message: EncodedMessage): Buffer {
  const { body, headers } = message;
  writer.at = 0;
  if (message.durable) writer.raw(DURABLE);
  writeProperties(message);
  writer.section(SECTION.application);
  const begun = writer.begin('map');
  let count = 0;
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || isProperty(name, value)) continue;
    writer.string(name);
    if (typeof value === 'string') writer.string(value);
    else writer.binary(value);
    count += 2;
  }
  if (message.marks !== undefined)
    for (const [name, value] of Object.entries(message.marks)) {
      writer.string(name);
      if (typeof value === 'string') writer.string(value);
      else writer.long(value);
      count += 2;
    }
  writer.end(begun, count);
  writer.section(SECTION.data);
  writer.binaryHead(body.length);
  const head = writer.at;
  const whole = writer.take(body.length);
  whole.set(body, head);
  return whole;
}

/** The same message again, not to be delivered before its time. @param bare its properties, application properties and body */
export function encodeDeferred(bare: Uint8Array, notBefore: number, attempt: number): Buffer {
  writer.at = 0;
  writer.raw(DURABLE);
  writer.section(SECTION.annotations);
  const begun = writer.begin('map');
  writer.symbol(DELIVERY_TIME);
  writer.long(notBefore);
  writer.symbol(ATTEMPT);
  writer.long(attempt);
  writer.end(begun, 4);
  const head = writer.at;
  const whole = writer.take(bare.length);
  whole.set(bare, head);
  return whole;
}

function writeProperties({ id, to, key, time, headers }: EncodedMessage): void {
  writer.section(SECTION.properties);
  const begun = writer.begin('list');
  writer.string(id);
  writer.null(); // user id
  writer.string(to);
  optional(headers, FOREIGN.subject);
  optional(headers, FOREIGN.replyTo);
  optional(headers, FOREIGN.correlationId);
  const type = headers[CONTENT_TYPE];
  if (typeof type === 'string' && ASCII.test(type)) writer.symbol(type);
  else writer.null();
  const encoding = headers[FOREIGN.contentEncoding];
  if (typeof encoding === 'string' && ASCII.test(encoding)) writer.symbol(encoding);
  else writer.null();
  writer.null(); // absolute expiry
  writer.timestamp(time);
  if (key === undefined) {
    writer.end(begun, 10);
    return;
  }
  writer.string(key);
  writer.end(begun, 11);
}

function optional(headers: RawHeaders, name: string): void {
  const value = headers[name];
  if (typeof value === 'string') writer.string(value);
  else writer.null();
}

/** Headers that travel as properties; what does not fit there is an application property like any other. */
function isProperty(name: string, value: string | Uint8Array): boolean {
  if (typeof value !== 'string') return false;
  if (name === CONTENT_TYPE || name === FOREIGN.contentEncoding) return ASCII.test(value);
  return name === FOREIGN.subject || name === FOREIGN.replyTo || name === FOREIGN.correlationId;
}
