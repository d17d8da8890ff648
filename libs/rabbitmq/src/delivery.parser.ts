import type { ConsumeMessage, MessageProperties } from 'amqplib';

// AMQP 0-9-1, 2.3.5 (frames), 4.2 (the grammar), 1.8.3 (basic).
const METHOD = 1;
const HEADER = 2;
const BODY = 3;
const FRAME_END = 0xce;
/** Type, channel and size; the end is one byte more. */
const FRAME_HEAD = 7;
const BASIC_DELIVER = 0x003c003c;
/** Class, weight and body size, and the flags. */
const CONTENT_HEAD = 14;
const TWO_TO_32 = 0x1_0000_0000;
/** Of a number of eight bytes: beyond it JavaScript's lose digits. */
const MOST_SAFE_HIGH = 0x1f_ffff;
const BASIC = 60;
const EMPTY = Buffer.alloc(0);

/** A text that comes again and again: found by its bytes instead of being decoded. */
class Memo {
  private bytes: Uint8Array = new Uint8Array(0);
  private text = '';

  read(buffer: Buffer, from: number, to: number): string {
    const { bytes } = this;
    if (bytes.length === to - from) {
      let same = 0;
      while (same < bytes.length && bytes[same] === buffer[from + same]) same++;
      if (same === bytes.length) return this.text;
    }
    this.bytes = Uint8Array.prototype.slice.call(buffer, from, to);
    this.text = buffer.toString('utf8', from, to);
    return this.text;
  }
}

/** Names of headers, by their place in a message, that are remembered. */
const MOST_NAMES = 32;

/**
 * Finds one delivery (a method frame, a header frame and at most one body frame) in bytes, and decodes it as amqplib would. It keeps
 * what it found until the next call: this runs once for each message.
 */
export class DeliveryParser {
  channel = 0;
  private buffer: Buffer = Buffer.alloc(0);
  /** Of the arguments of the method, of the flags of the properties, of the body. */
  private method = 0;
  private header = 0;
  private headerEnd = 0;
  private body = 0;
  private bodyEnd = 0;
  /** Where the next field is read. */
  private at = 0;
  private properties: MessageProperties = none();
  private readonly tag = new Memo();
  private readonly exchange = new Memo();
  private readonly routingKey = new Memo();
  private readonly contentType = new Memo();
  private readonly names: Memo[] = [];

  /** Where the delivery at `from` ends; 0 if more has to come; undefined if there is something else, or something unusual. */
  parse(buffer: Buffer, from: number, maxFrameSize: number): number | undefined {
    const method = frameEnd(buffer, from, METHOD, maxFrameSize);
    if (method === undefined || method === 0) return method;
    if (method - from < FRAME_HEAD + 5 || buffer.readUInt32BE(from + FRAME_HEAD) !== BASIC_DELIVER) return undefined;
    const channel = buffer.readUInt16BE(from + 1);
    const header = frameEnd(buffer, method, HEADER, maxFrameSize);
    if (header === undefined || header === 0) return header;
    if (header - method < FRAME_HEAD + CONTENT_HEAD + 1) return undefined;
    if (buffer.readUInt16BE(method + 1) !== channel || buffer.readUInt16BE(method + FRAME_HEAD) !== BASIC)
      return undefined;
    // The upper half of the size: nothing of 4 GiB is in one frame.
    if (buffer.readUInt32BE(method + FRAME_HEAD + 4) !== 0) return undefined;
    const size = buffer.readUInt32BE(method + FRAME_HEAD + 8);
    let end = header;
    if (size > 0) {
      if (buffer.length < header + FRAME_HEAD) return 0;
      // In several frames: amqplib puts them together.
      if (buffer.readUInt32BE(header + 3) !== size) return undefined;
      const body = frameEnd(buffer, header, BODY, maxFrameSize);
      if (body === undefined || body === 0) return body;
      if (buffer.readUInt16BE(header + 1) !== channel) return undefined;
      end = body;
    }
    this.channel = channel;
    this.buffer = buffer;
    this.method = from + FRAME_HEAD + 4;
    this.header = method + FRAME_HEAD + 12;
    this.headerEnd = header - 1;
    this.body = size === 0 ? header : header + FRAME_HEAD;
    this.bodyEnd = this.body + size;
    return this.readProperties() ? end : undefined;
  }

  /** The delivery that `parse` found. */
  message(): ConsumeMessage {
    const { buffer, properties } = this;
    this.at = this.method;
    const consumerTag = this.shortText(this.tag);
    const deliveryTag = buffer.readUInt32BE(this.at) * TWO_TO_32 + buffer.readUInt32BE(this.at + 4);
    const redelivered = ((buffer[this.at + 8] as number) & 1) === 1;
    this.at += 9;
    const exchange = this.shortText(this.exchange);
    const routingKey = this.shortText(this.routingKey);
    const content = buffer.subarray(this.body, this.bodyEnd);
    this.buffer = EMPTY;
    return { fields: { consumerTag, deliveryTag, redelivered, exchange, routingKey }, properties, content };
  }

  /** False where there is something that amqplib has to judge. */
  private readProperties(): boolean {
    const { buffer } = this;
    const flags = buffer.readUInt16BE(this.header);
    // More flags follow, or one that AMQP does not know.
    if ((flags & 0b11) !== 0) return false;
    const found = none();
    // As amqplib: no property at all is an empty object.
    this.properties = flags === 0 ? ({} as MessageProperties) : found;
    this.at = this.header + 2;
    if ((flags & 0x8000) !== 0) found.contentType = this.shortText(this.contentType);
    if ((flags & 0x4000) !== 0) found.contentEncoding = this.shortText();
    if ((flags & 0x2000) !== 0 && !this.readHeaders(found)) return false;
    if ((flags & 0x1000) !== 0) found.deliveryMode = buffer[this.at++];
    if ((flags & 0x0800) !== 0) found.priority = buffer[this.at++];
    if ((flags & 0x0400) !== 0) found.correlationId = this.shortText();
    if ((flags & 0x0200) !== 0) found.replyTo = this.shortText();
    if ((flags & 0x0100) !== 0) found.expiration = this.shortText();
    if ((flags & 0x0080) !== 0) found.messageId = this.shortText();
    if ((flags & 0x0040) !== 0) {
      const high = this.at + 8 <= this.headerEnd ? buffer.readUInt32BE(this.at) : Infinity;
      if (high > MOST_SAFE_HIGH) return false;
      found.timestamp = high * TWO_TO_32 + buffer.readUInt32BE(this.at + 4);
      this.at += 8;
    }
    if ((flags & 0x0020) !== 0) found.type = this.shortText();
    if ((flags & 0x0010) !== 0) found.userId = this.shortText();
    if ((flags & 0x0008) !== 0) found.appId = this.shortText();
    if ((flags & 0x0004) !== 0) found.clusterId = this.shortText();
    return this.at === this.headerEnd && this.isMethodWhole();
  }

  private readHeaders(found: MessageProperties): boolean {
    const { buffer, headerEnd, names } = this;
    if (this.at + 4 > headerEnd) return false;
    const end = this.at + 4 + buffer.readUInt32BE(this.at);
    if (end > headerEnd) return false;
    let at = this.at + 4;
    const headers: Record<string, unknown> = {};
    for (let index = 0; at < end; index++) {
      const nameEnd = at + 1 + (buffer[at] as number);
      // Room for the type and the shortest value's length.
      if (nameEnd + 5 > end) return false;
      const name =
        index < MOST_NAMES
          ? (names[index] ??= new Memo()).read(buffer, at + 1, nameEnd)
          : buffer.toString('utf8', at + 1, nameEnd);
      at = nameEnd + 1;
      switch (buffer[nameEnd]) {
        // Long text.
        case 0x53: {
          const from = at + 4;
          at = from + buffer.readUInt32BE(at);
          if (at > end) return false;
          headers[name] = buffer.toString('utf8', from, at);
          break;
        }
        // Signed numbers of four and of eight bytes.
        case 0x49:
          headers[name] = buffer.readInt32BE(at);
          at += 4;
          break;
        case 0x6c: {
          if (at + 8 > end || buffer.readUInt32BE(at) > MOST_SAFE_HIGH) return false;
          headers[name] = buffer.readUInt32BE(at) * TWO_TO_32 + buffer.readUInt32BE(at + 4);
          at += 8;
          break;
        }
        default:
          return false;
      }
    }
    if (at !== end) return false;
    this.at = end;
    found.headers = headers;
    return true;
  }

  /** Past the end it reads nothing, and whoever called finds itself past the end. */
  private shortText(memo?: Memo): string {
    const { buffer, headerEnd } = this;
    const from = this.at + 1;
    const to = from + (buffer[this.at] as number);
    this.at = to;
    if (to > headerEnd) return '';
    return memo === undefined ? buffer.toString('utf8', from, to) : memo.read(buffer, from, to);
  }

  /** Its three texts, number and flag fill the frame. */
  private isMethodWhole(): boolean {
    const { buffer } = this;
    const end = this.header - FRAME_HEAD - 12 - 1;
    let at = this.method + 1 + (buffer[this.method] as number);
    if (at + 9 >= end || buffer.readUInt32BE(at) > MOST_SAFE_HIGH) return false;
    at += 9;
    at += 1 + (buffer[at] as number);
    return at < end && at + 1 + (buffer[at] as number) === end;
  }
}

/** Where a whole frame of this type ends; 0 if more has to come; undefined if it is another, or amqplib would refuse it. */
function frameEnd(buffer: Buffer, from: number, type: number, maxFrameSize: number): number | undefined {
  if (buffer.length > from && buffer[from] !== type) return undefined;
  if (buffer.length < from + FRAME_HEAD) return 0;
  const size = buffer.readUInt32BE(from + 3);
  if (maxFrameSize > 0 && size > maxFrameSize) return undefined;
  const end = from + FRAME_HEAD + size + 1;
  if (buffer.length < end) return 0;
  return buffer[end - 1] === FRAME_END ? end : undefined;
}

function none(): MessageProperties {
  return {
    contentType: undefined,
    contentEncoding: undefined,
    headers: undefined,
    deliveryMode: undefined,
    priority: undefined,
    correlationId: undefined,
    replyTo: undefined,
    expiration: undefined,
    messageId: undefined,
    timestamp: undefined,
    type: undefined,
    userId: undefined,
    appId: undefined,
    clusterId: undefined,
  };
}
