import type { ConfirmChannel } from 'amqplib';
import { asBuffer, CONTENT_TYPE, isShort, KEY, OWN, REF, type Sent } from './message.codec.js';
import type { Parcel } from './parcel.js';

/** What is used of amqplib's channel and connection beyond their types; `frame.writer.spec.ts` holds it to that. */
export interface ChannelInternals {
  readonly ch: number;
  /** Another one once it is closing. */
  readonly sendMessage: unknown;
  readonly connection: {
    readonly frameMax: number;
    /** For heartbeats. */
    sentSinceLastCheck: boolean;
    /** By number; each writes into a stream of its own, which share the socket frame by frame. */
    readonly channels: readonly ({ readonly buffer: { write(bytes: Buffer): boolean } } | null | undefined)[];
  };
}

/** Bytes that are gathered before they go, and beyond which a message is amqplib's. */
const BATCH = 32 * 1_024;
const ROOM = 2 * BATCH;
/** Of texts that are cheaper here than by a call into the runtime. */
const SHORT_TEXT = 64;
const MOST_NAMES = 512;
const FRAME_END = 206;
const [METHOD, HEADER, BODY] = [1, 2, 3];
const [STRING, BYTES] = ['S', 'x'].map((tag) => tag.charCodeAt(0)) as [number, number];
/** Which properties there are. */
const HAS = { contentType: 0x80, headers: 0x20, deliveryMode: 0x10, messageId: 0x80, timestamp: 0x40 };

const REF_NAME = encodedName(REF);
const KEY_NAME = encodedName(KEY);

interface Route extends Pick<Parcel, 'exchange' | 'routingKey' | 'mandatory'> {
  readonly frame: Buffer;
}

/**
 * Writes messages into the bytes of an AMQP channel, many at a time; whatever is out of the ordinary (a large one, one that is deferred,
 * names and routing keys that AMQP cannot carry) is left to amqplib, and so is everything else that a channel does. amqplib makes a
 * dozen buffers of a message and hands each to a stream by itself, which costs more than all that we do with it (decision 0014).
 */
export class FrameWriter {
  private readonly bytes = Buffer.allocUnsafe(ROOM);
  private at = 0;
  private route: Route | undefined;
  private readonly names = new Map<string, Buffer>();

  private constructor(
    private readonly channel: ChannelInternals,
    private readonly usual: unknown,
  ) {}

  /** Of a channel that has just been opened. Undefined where amqplib is not the one that is known: then it writes everything. */
  static of(channel: ConfirmChannel): FrameWriter | undefined {
    const internals = channel as unknown;
    return isKnown(internals) ? new FrameWriter(internals, internals.sendMessage) : undefined;
  }

  /** So much is gathered that it is to go. */
  get isFull(): boolean {
    return this.at >= BATCH;
  }

  /** Takes a message, to go with the next `flush`. False where amqplib is to write it, after a `flush`. */
  add(parcel: Parcel): boolean {
    // A channel on its way out refuses what amqplib sends, and says so.
    if (this.channel.sendMessage !== this.usual) return false;
    const start = this.at;
    if (this.write(parcel)) return true;
    this.at = start;
    return false;
  }

  /** @returns whether more may come; if not, after `drain` of the channel */
  flush(): boolean {
    if (this.at === 0) return true;
    const { ch, connection } = this.channel;
    const batch = Buffer.from(this.bytes.subarray(0, this.at));
    this.at = 0;
    connection.sentSinceLastCheck = true;
    return connection.channels[ch]?.buffer.write(batch) ?? false;
  }

  private write(parcel: Parcel): boolean {
    const { body, sent, persistent, expiration } = parcel;
    const seconds = Math.floor(sent.time / 1_000);
    const isUsual = expiration === undefined && sent.notBefore === undefined && (sent.attempt ?? 1) <= 1;
    if (!isUsual || !Number.isSafeInteger(seconds) || seconds < 0 || body.length > BATCH) return false;
    const route = this.routeOf(parcel);
    if (route === undefined) return false;
    this.at += route.copy(this.bytes, this.at);
    return this.properties(sent, persistent, seconds, body.length) && this.body(body);
  }

  private properties({ id, key, headers, ref }: Sent, persistent: boolean, seconds: number, size: number): boolean {
    const { bytes } = this;
    const start = this.frame(HEADER);
    this.at = bytes.writeUInt32BE(60 << 16, this.at);
    this.long(size);
    const flags = this.at;
    this.at += 2;
    const type = headers[CONTENT_TYPE];
    const hasType = typeof type === 'string' && isShort(type);
    if (hasType) this.shortText(type);
    const table = this.at;
    this.at += 4;
    for (const name in headers) {
      const value = headers[name];
      if (value === undefined || (hasType && name === CONTENT_TYPE)) continue;
      if (!this.header(this.nameOf(name), value)) return false;
    }
    if (!this.header(REF_NAME, ref) || (key !== undefined && !this.header(KEY_NAME, key))) return false;
    bytes.writeUInt32BE(this.at - table - 4, table);
    bytes[this.at++] = persistent ? 2 : 1;
    const hasId = id !== undefined && isShort(id);
    if (hasId) this.shortText(id);
    this.long(seconds);
    bytes[flags] = (hasType ? HAS.contentType : 0) | HAS.headers | HAS.deliveryMode;
    bytes[flags + 1] = (hasId ? HAS.messageId : 0) | HAS.timestamp;
    this.endOf(start);
    return true;
  }

  private body(body: Buffer): boolean {
    if (body.length === 0) return true;
    if (this.at + body.length + 8 > ROOM) return false;
    const start = this.frame(BODY);
    this.bytes.set(body, this.at);
    this.at += body.length;
    this.endOf(start);
    return true;
  }

  /** False where there is no room for it, or its name is not for us. */
  private header(name: Buffer | undefined, value: string | Uint8Array): boolean {
    // Three bytes for each of its characters at most; and what follows the headers.
    if (name === undefined || this.at + name.length + 3 * value.length + 600 > ROOM) return false;
    const { bytes } = this;
    bytes.set(name, this.at);
    this.at += name.length;
    bytes[this.at++] = typeof value === 'string' ? STRING : BYTES;
    const start = this.at;
    this.at += 4;
    if (typeof value === 'string') this.text(value);
    else {
      bytes.set(asBuffer(value), this.at);
      this.at += value.length;
    }
    bytes.writeUInt32BE(this.at - start - 4, start);
    return true;
  }

  /** Of a header that is not ours: undefined where amqplib is to say what becomes of it. */
  private nameOf(name: string): Buffer | undefined {
    const known = this.names.get(name);
    if (known !== undefined) return known;
    const encoded = encodedName(name);
    if (encoded.length > 256 || name === '__proto__' || OWN.has(name)) return undefined;
    if (this.names.size < MOST_NAMES) this.names.set(name, encoded);
    return encoded;
  }

  private routeOf({ exchange, routingKey, mandatory }: Parcel): Buffer | undefined {
    const last = this.route;
    if (last?.routingKey === routingKey && last.exchange === exchange && last.mandatory === mandatory)
      return last.frame;
    if (!isShort(exchange) || !isShort(routingKey)) return undefined;
    const start = this.at;
    const begin = this.frame(METHOD);
    // basic.publish, and a ticket that means nothing.
    this.at = this.bytes.writeUInt32BE((60 << 16) | 40, this.at);
    this.at = this.bytes.writeUInt16BE(0, this.at);
    this.shortText(exchange);
    this.shortText(routingKey);
    this.bytes[this.at++] = mandatory ? 1 : 0;
    this.endOf(begin);
    const frame = Buffer.from(this.bytes.subarray(start, this.at));
    this.at = start;
    this.route = { exchange, routingKey, mandatory, frame };
    return frame;
  }

  /** @returns where its payload begins */
  private frame(type: number): number {
    const { bytes, channel } = this;
    bytes[this.at] = type;
    bytes.writeUInt16BE(channel.ch, this.at + 1);
    this.at += 7;
    return this.at;
  }

  private endOf(start: number): void {
    this.bytes.writeUInt32BE(this.at - start, start - 4);
    this.bytes[this.at++] = FRAME_END;
  }

  private long(value: number): void {
    this.at = this.bytes.writeUInt32BE(Math.floor(value / 0x1_0000_0000), this.at);
    this.at = this.bytes.writeUInt32BE(value % 0x1_0000_0000, this.at);
  }

  private shortText(text: string): void {
    const start = this.at++;
    this.text(text);
    this.bytes[start] = this.at - start - 1;
  }

  private text(text: string): void {
    const { bytes } = this;
    const { length } = text;
    if (length < SHORT_TEXT) {
      let { at } = this;
      let index = 0;
      for (; index < length; index++) {
        const code = text.charCodeAt(index);
        if (code > 127) break;
        bytes[at++] = code;
      }
      if (index === length) {
        this.at = at;
        return;
      }
    }
    this.at += bytes.write(text, this.at);
  }
}

/** With its length before it. */
function encodedName(name: string): Buffer {
  const encoded = Buffer.from(` ${name}`);
  encoded[0] = encoded.length - 1;
  return encoded;
}

function isKnown(channel: unknown): channel is ChannelInternals {
  if (typeof channel !== 'object' || channel === null) return false;
  const { ch, sendMessage, connection } = channel as Partial<ChannelInternals>;
  return (
    typeof ch === 'number' &&
    typeof sendMessage === 'function' &&
    // Frames of a smaller size are cut by amqplib.
    (connection?.frameMax ?? 0) >= ROOM &&
    typeof connection?.sentSinceLastCheck === 'boolean' &&
    typeof connection.channels?.[ch]?.buffer?.write === 'function'
  );
}
