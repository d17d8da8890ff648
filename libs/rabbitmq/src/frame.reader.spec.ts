import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { type ConnectionInternals, FrameReader } from './frame.reader.js';

// amqplib is the judge: what its own code writes and reads.
const require = createRequire(import.meta.url);
const inner = (file: string): unknown => require(join(dirname(require.resolve('amqplib')), file));
interface Definitions {
  readonly BasicDeliver: number;
  readonly BasicProperties: number;
  readonly BasicAck: number;
  encodeMethod(id: number, channel: number, fields: object): Buffer;
  encodeProperties(id: number, channel: number, size: number, fields: object): Buffer;
}
const defs = inner('lib/defs.js') as Definitions;
const frame = inner('lib/frame.js') as {
  makeBodyFrame(channel: number, body: Buffer): Buffer;
  readonly HEARTBEAT_BUF: Buffer;
};
const { Connection } = inner('lib/connection.js') as {
  Connection: { readonly prototype: { recvFrame(this: ConnectionInternals): unknown } };
};

interface Content {
  readonly fields: object;
  readonly properties: object;
  readonly body: Buffer;
}

const FIELDS = {
  consumerTag: 'amq.ctag-1',
  deliveryTag: 7,
  redelivered: false,
  exchange: 'orders',
  routingKey: 'orders',
};
const PROPERTIES = {
  contentType: 'application/json',
  headers: { 'cloudEvents:type': 'orders.placed' },
  deliveryMode: 2,
};
const content = (changes: Partial<Content> = {}): Content => ({
  fields: FIELDS,
  properties: PROPERTIES,
  body: Buffer.from('{}'),
  ...changes,
});

/** A delivery as a broker writes it. */
function written({ fields, properties, body }: Content, channel = 1, pieces = 1): Buffer {
  const size = Math.ceil(body.length / pieces);
  const bodies = Array.from({ length: body.length === 0 ? 0 : pieces }, (_, index) =>
    frame.makeBodyFrame(channel, body.subarray(index * size, (index + 1) * size)),
  );
  return Buffer.concat([
    defs.encodeMethod(defs.BasicDeliver, channel, fields),
    defs.encodeProperties(defs.BasicProperties, channel, body.length, properties),
    ...bodies,
  ]);
}

/** A connection of amqplib whose socket is a list of pieces. */
class FakeConnection implements ConnectionInternals {
  rest = Buffer.alloc(0);
  maxFrameSize = 131_072;
  recvSinceLastCheck = false;
  pieces: Buffer[] = [];
  readonly stream = { read: () => this.pieces.shift() ?? null };

  recvFrame(): unknown {
    return Connection.prototype.recvFrame.call(this);
  }

  /** What comes to amqplib. */
  frames(): unknown[] {
    const frames: unknown[] = [];
    for (let next = this.recvFrame(); next !== false; next = this.recvFrame()) frames.push(next);
    return frames;
  }
}

/** What amqplib itself makes of it. */
function judged(bytes: Buffer): object {
  const connection = new FakeConnection();
  connection.pieces = [bytes];
  const [method, header, ...bodies] = connection.frames() as [
    { fields: object },
    { fields: object; size: number },
    ...{ content: Buffer }[],
  ];
  return {
    fields: method.fields,
    properties: header.fields,
    content: Buffer.concat(bodies.map(({ content: body }) => body)).subarray(0, header.size),
  };
}

describe('deliveries read from the bytes', () => {
  let connection: FakeConnection;
  let reader: FrameReader;
  let taken: ConsumeMessage[];
  beforeEach(() => {
    connection = new FakeConnection();
    reader = FrameReader.of({ connection } as unknown as ChannelModel) as FrameReader;
    taken = [];
    reader.route(1, (message) => void taken.push(message));
  });

  it.each<[string, Partial<Content>]>([
    ['as we send it', {}],
    ['without a body', { body: Buffer.alloc(0) }],
    ['with a body of one byte', { body: Buffer.from('x') }],
    ['without properties', { properties: {} }],
    ['with no headers in the table', { properties: { headers: {} } }],
    [
      'with every property',
      {
        properties: {
          ...PROPERTIES,
          contentEncoding: 'gzip',
          priority: 3,
          correlationId: 'ö'.repeat(100),
          replyTo: 'r',
          expiration: '1000',
          messageId: 'm',
          timestamp: 1_800_000_000,
          type: 't',
          userId: 'u',
          appId: 'a',
          clusterId: 'c',
        },
      },
    ],
    [
      'with texts and numbers as headers',
      {
        properties: {
          headers: {
            a: 'ö€😀',
            b: '',
            'x-delivery-count': { '!': 'long', value: 3 },
            c: 70_000,
            d: -70_000,
            e: 2 ** 40,
          },
        },
      },
    ],
    [
      'with more headers than are remembered',
      { properties: { headers: Object.fromEntries(Array.from({ length: 50 }, (_, n) => [`h${n}`, `${n}`])) } },
    ],
    ['redelivered, with a tag beyond 32 bits', { fields: { ...FIELDS, redelivered: true, deliveryTag: 2 ** 33 + 5 } }],
    ['with empty names', { fields: { ...FIELDS, exchange: '', routingKey: '' } }],
  ])('are what amqplib reads: one %s', (_what, changes) => {
    const bytes = written(content(changes));
    connection.pieces = [bytes];
    expect(connection.frames()).toEqual([]);
    expect(taken).toEqual([judged(bytes)]);
  });

  it.each<[string, Buffer]>([
    ['in several frames', written(content({ body: Buffer.from('abcdef') }), 1, 3)],
    [
      'with headers of rare types',
      written(content({ properties: { headers: { list: [1, 'a'], table: { b: true } } } })),
    ],
    ['for a channel that did not ask', written(content(), 2)],
    ['and what is no delivery', defs.encodeMethod(defs.BasicAck, 1, { deliveryTag: 1, multiple: false })],
  ])('are left to amqplib: %s', (_what, bytes) => {
    connection.pieces = [bytes];
    const plain = new FakeConnection();
    plain.pieces = [bytes];
    expect(connection.frames()).toEqual(plain.frames());
    expect(taken).toEqual([]);
  });

  it('are left to amqplib when the channel does not ask any more', () => {
    reader.route(1, undefined);
    connection.pieces = [written(content())];
    expect(connection.frames()).toHaveLength(3);
    expect(taken).toEqual([]);
  });

  it('come whole and in order, in whatever pieces and between whatever else they arrive', () => {
    const bodies = Array.from({ length: 60 }, (_, n) => Buffer.from('b'.repeat((n * 37) % 300) + String(n)));
    const stream = Buffer.concat(
      bodies.flatMap((body, n) => [
        written(
          content({ body, fields: { ...FIELDS, deliveryTag: n + 1, exchange: n % 2 === 0 ? 'orders' : 'bills' } }),
          1,
          n % 5 === 4 ? 2 : 1,
        ),
        ...(n % 7 === 3 ? [frame.HEARTBEAT_BUF] : []),
        ...(n % 11 === 5 ? [written(content({ body }), 2)] : []),
      ]),
    );
    for (const size of [1, 2, 7, 8, 9, 64, 333, 4_096, stream.length]) {
      taken = [];
      const frames: unknown[] = [];
      for (let at = 0; at < stream.length; at += size) {
        connection.pieces = [stream.subarray(at, at + size)];
        connection.recvSinceLastCheck = false;
        frames.push(...connection.frames());
        expect(connection.recvSinceLastCheck).toBe(true);
      }
      const quick = bodies.filter((_, n) => n % 5 !== 4);
      expect(taken.map(({ content: body }) => body.toString())).toEqual(quick.map(String));
      expect(taken.map(({ fields }) => fields.exchange)).toEqual(bodies.flatMap((_, n) => (n % 5 === 4 ? [] : [n % 2 === 0 ? 'orders' : 'bills']))); // prettier-ignore
      // 12 deliveries in four frames, 8 or 9 heartbeats, and those of the other channel.
      const others = bodies.reduce(
        (sum, _, n) => sum + (n % 5 === 4 ? 4 : 0) + (n % 7 === 3 ? 1 : 0) + (n % 11 === 5 ? 3 : 0),
        0,
      );
      expect(frames).toHaveLength(others);
    }
  });

  it('fail as they do in amqplib when they are cut, or lie about their sizes', () => {
    const bytes = written(content({ properties: { ...PROPERTIES, messageId: 'm', timestamp: 5 } }));
    for (let at = 0; at < bytes.length; at++)
      for (const value of [0, 1, 0x7f, 0xff]) {
        const spoilt = Buffer.from(bytes);
        spoilt[at] = value;
        const outcome = (one: FakeConnection): unknown => {
          one.pieces = [Buffer.from(spoilt)];
          try {
            return one.frames();
          } catch (error) {
            return (error as Error).name;
          }
        };
        const one = new FakeConnection();
        const mine = FrameReader.of({ connection: one } as unknown as ChannelModel) as FrameReader;
        const got: ConsumeMessage[] = [];
        mine.route(1, (message) => void got.push(message));
        const frames = outcome(one);
        const judge = outcome(new FakeConnection());
        if (got.length > 0) expect(got).toEqual([judged(spoilt)]);
        // Amqplib takes the beginning while the rest is on its way; this takes all or nothing.
        else if (Array.isArray(judge) && judge.length < 3) expect([[], judge]).toContainEqual(frames);
        else expect(frames).toEqual(judge);
      }
  });
});

it('builds on the amqplib whose inside it was written for', () => {
  const { version } = inner('package.json') as { readonly version: string };
  // Another one: read its lib/connection.js and lib/channel.js again, then change this.
  expect(version).toMatch(/^2\.[23]\./);
});

it('leaves a connection alone that is not as it knows it', () => {
  expect(FrameReader.of({ connection: { recvFrame: () => false } } as unknown as ChannelModel)).toBeUndefined();
});
