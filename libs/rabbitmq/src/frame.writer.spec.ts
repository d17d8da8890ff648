import type { ConfirmChannel, Options } from 'amqplib';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { PassThrough } from 'node:stream';
import { beforeEach, describe, expect, it } from 'vitest';
import { type ChannelInternals, FrameWriter } from './frame.writer.js';
import { encodeProperties, type Sent } from './message.codec.js';
import type { Parcel } from './parcel.js';

// amqplib is the judge: what its own code writes.
const require = createRequire(import.meta.url);
const inner = (file: string): unknown => require(join(dirname(require.resolve('amqplib')), file));
interface Connection {
  frameMax: number;
  sentSinceLastCheck: boolean;
  readonly channels: ({ buffer: { write(bytes: Buffer): boolean; end(): void } } | null)[];
}
const { Connection } = inner('lib/connection.js') as { Connection: new (stream: PassThrough) => Connection };
const { ConfirmChannel: Channel } = inner('lib/channel_model.js') as {
  ConfirmChannel: new (connection: Connection) => ConfirmChannel & {
    readonly ch: number;
    allocate(): void;
    toClosed(): void;
  };
};

type OpenChannel = InstanceType<typeof Channel>;

const sent = (changes: Partial<Sent> = {}): Sent => ({
  id: 'f2d9c5a0-6e0b-4a7e-9d0e-1f2a3b4c5d6e',
  key: 'order-1',
  headers: { 'content-type': 'application/json', 'cloudEvents:type': 'orders.placed', 'cloudEvents:source': '/shop' },
  time: 1_790_000_000_123,
  ref: 'mfr4ab-Zm9vYmFy-1a',
  ...changes,
});
const parcel = (changes: Partial<Parcel> = {}): Parcel => ({
  exchange: 'orders',
  routingKey: 'orders',
  body: Buffer.from('{"total":5}'),
  sent: sent(),
  persistent: true,
  mandatory: false,
  channel: 'orders',
  ...changes,
});

let channel: OpenChannel;
let connection: Connection;
let written: Buffer[];
let hasRoom: boolean;
let writer: FrameWriter;
beforeEach(() => {
  [connection, written, hasRoom] = [new Connection(new PassThrough()), [], true];
  Object.assign(connection, { frameMax: 131_072, channelMax: 100 });
  channel = new Channel(connection);
  // So that its number takes two bytes' worth of care.
  for (let number = 0; number < 3; number++) channel.allocate();
  watch();
  writer = FrameWriter.of(channel) as FrameWriter;
});

/** Has the channel write where we see it. */
function watch(): void {
  const write = (bytes: Buffer): boolean => {
    written.push(bytes);
    return hasRoom;
  };
  connection.channels[channel.ch] = { buffer: { write, end: () => undefined } };
}

/** What amqplib makes of it. */
function judged({ exchange, routingKey, body, sent: what, persistent, mandatory }: Parcel): Buffer {
  const before = written.length;
  const properties: Options.Publish = encodeProperties(what, persistent);
  if (mandatory) properties.mandatory = true;
  channel.publish(exchange, routingKey, body, properties);
  expect(written.length).toBeGreaterThan(before);
  return Buffer.concat(written.splice(before));
}

const USUAL: readonly (readonly [string, Partial<Parcel>])[] = [
  ['as most are', {}],
  ['transient', { persistent: false }],
  ['mandatory, for a queue', { mandatory: true, exchange: '', routingKey: 'orders::shop.Receipt' }],
  ['without a body', { body: Buffer.alloc(0) }],
  ['with a large body', { body: Buffer.alloc(32_000, 7) }],
  ['of a routing key in many scripts', { routingKey: 'größe.订单.🙂'.repeat(6) }],
  ['without a key', { sent: sent({ key: undefined }) }],
  ['with an empty key', { sent: sent({ key: '' }) }],
  ['with a key in many scripts', { sent: sent({ key: 'größe 订单 🙂'.repeat(20) }) }],
  ['without an id', { sent: sent({ id: undefined }) }],
  ['with an id that is too long', { sent: sent({ id: 'x'.repeat(256) }) }],
  ['with an id of the greatest length', { sent: sent({ id: 'ä'.repeat(127) }) }],
  ['without headers', { sent: sent({ headers: {} }) }],
  ['with a content type that is too long', { sent: sent({ headers: { 'content-type': 'x'.repeat(300) } }) }],
  ['with a content type of bytes', { sent: sent({ headers: { 'content-type': Uint8Array.of(1, 255) } }) }],
  ['with bytes', { sent: sent({ headers: { a: Uint8Array.of(0, 255, 128), b: Buffer.alloc(0), c: '' } }) }],
  ['with a header that is undefined', { sent: sent({ headers: { a: undefined, b: 'c' } as never }) }],
  ['with header names like numbers', { sent: sent({ headers: { b: 'x', 10: 'y', 2: 'z' } }) }],
  ['with names and values in many scripts', { sent: sent({ headers: { grüße: '订单'.repeat(200), '🙂': 'é' } }) }],
  ['with a name of the greatest length', { sent: sent({ headers: { ['n'.repeat(255)]: 'x' } }) }],
  ['with half a character', { sent: sent({ headers: { half: 'a\ud83d', other: '\udc00'.repeat(70) } }) }],
  ['with a long value', { sent: sent({ headers: { long: 'v'.repeat(8_000) } }) }],
  ['sent in 1970', { sent: sent({ time: 0 }) }],
  ['sent when seconds need more than 32 bits', { sent: sent({ time: 8_640_000_000_000_000 }) }],
  ['at its first attempt', { sent: sent({ attempt: 1 }) }],
];

const UNUSUAL: readonly (readonly [string, Partial<Parcel>])[] = [
  ['is at a later attempt', { sent: sent({ attempt: 2 }) }],
  ['is deferred', { sent: sent({ notBefore: 5 }) }],
  ['expires', { expiration: 5 }],
  ['is large', { body: Buffer.alloc(40_000) }],
  ['has a large header', { sent: sent({ headers: { large: 'v'.repeat(60_000) } }) }],
  ['has many headers', { sent: sent({ headers: Object.fromEntries([...Array(4_000).keys()].map((n) => [n, 'xxxxxxxxxx'])) }) }], // prettier-ignore
  ['has a name that is too long', { sent: sent({ headers: { ['n'.repeat(256)]: 'x' } }) }],
  ['has a name of ours', { sent: sent({ headers: { 'eventing-ref': 'x' } }) }],
  ['has a prototype for a header', { sent: sent({ headers: JSON.parse('{"__proto__":"x"}') as Sent['headers'] }) }],
  ['has a routing key that is too long', { routingKey: 'r'.repeat(256) }],
  ['has a time of its own', { sent: sent({ time: Number.NaN }) }],
];

describe('the writer of frames', () => {
  it.each(USUAL)('writes a message %s byte by byte as amqplib does', (_what, changes) => {
    const message = parcel(changes);
    const expected = judged(message);
    // Twice: what it remembers of the first must not change the second.
    for (let time = 0; time < 2; time++) {
      expect(writer.add(message)).toBe(true);
      expect(writer.flush()).toBe(true);
      expect(Buffer.concat(written.splice(0)).equals(expected)).toBe(true);
    }
  });

  it.each(UNUSUAL)('leaves a message that %s to amqplib, and loses nothing before it', (_what, changes) => {
    const [before, after] = [parcel({ routingKey: 'before' }), parcel({ routingKey: 'after' })];
    const expected = [judged(before), judged(after)];
    expect([writer.add(before), writer.add(parcel(changes)), writer.add(after)]).toEqual([true, false, true]);
    writer.flush();
    expect(written).toEqual([Buffer.concat(expected)]);
  });

  it('writes many at once, each whole, whatever they are', () => {
    const messages = Array.from({ length: 500 }, (_, index) =>
      parcel({ ...USUAL[index % USUAL.length]?.[1], routingKey: `key-${index % 3}` }),
    );
    const expected = Buffer.concat(messages.map(judged));
    for (const message of messages) {
      if (!writer.add(message)) {
        // There is no room behind what is gathered.
        writer.flush();
        expect(writer.add(message)).toBe(true);
      }
      if (writer.isFull) writer.flush();
    }
    writer.flush();
    expect(written.length).toBeLessThan(60);
    expect(Buffer.concat(written).equals(expected)).toBe(true);
  });

  it('says when there is no room, and shows the heartbeat that something was sent', () => {
    hasRoom = false;
    connection.sentSinceLastCheck = false;
    expect(writer.flush()).toBe(true);
    writer.add(parcel());
    expect([written.length, connection.sentSinceLastCheck]).toEqual([0, false]);
    expect([writer.flush(), connection.sentSinceLastCheck]).toEqual([false, true]);
  });

  it('takes nothing for a channel that is closed', () => {
    channel.toClosed();
    expect([writer.add(parcel()), writer.flush()]).toEqual([false, true]);
    expect(() => judged(parcel())).toThrow(/closed/i);
  });

  it.each([
    ['no connection', { connection: undefined }],
    ['small frames', { connection: { frameMax: 4_096, sentSinceLastCheck: true, channels: [] } }],
    ['other streams', { connection: { frameMax: 131_072, sentSinceLastCheck: true, channels: [] } }],
    ['no number', { ch: undefined }],
  ] as [string, Partial<ChannelInternals>][])('leaves everything to an amqplib with %s', (_what, changes) => {
    const { ch, sendMessage } = channel as unknown as ChannelInternals;
    const other: unknown = { ch, sendMessage, connection, ...changes };
    expect(FrameWriter.of(other as ConfirmChannel)).toBeUndefined();
  });
});
