import rhea, { type Message } from 'rhea';
import { describe, expect, it } from 'vitest';
import { decodeMessage } from './message.decoder.js';
import { encodeDeferred, encodeMessage, type EncodedMessage } from './message.encoder.js';

const base: EncodedMessage = {
  id: 'id-1',
  to: 'orders',
  key: 'schlüssel/✓ 🗝',
  headers: {
    'content-type': 'application/json',
    'cloudEvents:id': '1',
    'x-bytes': Uint8Array.of(0xff, 0x00),
    'x-long': 'é'.repeat(4000),
    'x-empty': '',
    'amqp:subject': 'sub',
  },
  body: Uint8Array.from({ length: 256 }, (_, index) => index),
  time: 1_700_000_000_123,
  durable: true,
};
const { encode, decode } = rhea.message as unknown as {
  encode(message: Message): Buffer;
  decode(bytes: Buffer): Message & { readonly body: { readonly content: Buffer } };
};

describe('a message of ours', () => {
  it('is read as it was written', () => {
    const read = decodeMessage(encodeMessage(base));
    expect({ ...read.headers, 'x-bytes': [...(read.headers['x-bytes'] as Uint8Array)] }).toEqual({
      ...base.headers,
      'x-bytes': [0xff, 0],
    });
    expect([...read.body]).toEqual([...base.body]);
    expect(read).toMatchObject({ key: base.key, time: base.time, attempt: 1, deliveryCount: 0, hasId: true });
    expect(read.notBefore).toBeUndefined();
  });

  it('is read by rhea as well', () => {
    const read = decode(encodeMessage(base));
    expect(read).toMatchObject({
      durable: true,
      message_id: 'id-1',
      to: 'orders',
      subject: 'sub',
      content_type: 'application/json',
      group_id: base.key,
    });
    expect(Number(read.creation_time)).toBe(base.time);
    expect(read.application_properties?.['x-long']).toBe(base.headers['x-long']);
    expect([...read.body.content]).toEqual([...base.body]);
  });

  it('tells an empty key from none', () => {
    expect(decodeMessage(encodeMessage({ ...base, key: '' })).key).toBe('');
    expect(decodeMessage(encodeMessage({ ...base, key: undefined })).key).toBeUndefined();
  });

  it('is the same when it was deferred, but for attempt and time', () => {
    const first = decodeMessage(encodeMessage(base));
    const second = decodeMessage(encodeDeferred(first.bare, 1_700_000_009_999, 3));
    expect(second).toMatchObject({ key: base.key, attempt: 3, notBefore: 1_700_000_009_999, identity: first.identity });
    expect([...second.body]).toEqual([...base.body]);
    const marked = decodeMessage(encodeMessage({ ...base, marks: { EVENTING_REDRIVEN: 'x' } }));
    expect(marked.headers).toEqual(first.headers);
    expect(marked.identity).not.toBe(first.identity);
  });

  it('grows beyond any buffer', () => {
    const headers = Object.fromEntries(Array.from({ length: 500 }, (_, n) => [`x-${n}`, 'v'.repeat(300)]));
    expect(decodeMessage(encodeMessage({ ...base, headers })).headers).toEqual(headers);
  });
});

describe('bytes of anybody', () => {
  it('never make the decoder throw, however they are damaged', () => {
    const whole = [
      encodeMessage(base),
      encode({ body: { a: [1, { b: null }] }, application_properties: { n: 2 ** 40, d: 1.5 } }),
      encode({ body: ['x', true], message_annotations: { 'x-opt-eventing-attempt': -5 }, delivery_count: 3 }),
    ];
    // Collected: an expect() for each would take seconds.
    const bad: Buffer[] = [];
    let state = 1;
    const random = (below: number): number => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % below;
    };
    for (let round = 0; round < 20_000; round++) {
      const bytes = Buffer.from(whole[round % whole.length] as Buffer);
      for (let change = random(4); change >= 0; change--) bytes[random(Math.min(bytes.length, 300))] = random(256);
      const cut = bytes.subarray(0, random(8) === 0 ? random(bytes.length) : bytes.length);
      const read = decodeMessage(cut);
      if (read.attempt < 1 || read.identity.length !== 32) bad.push(cut);
    }
    expect(bad).toEqual([]);
  });

  it('are handed over as they came where they are no message', () => {
    const bytes = Buffer.from('GET / HTTP/1.1');
    expect(decodeMessage(bytes)).toMatchObject({ body: bytes, headers: { 'eventing-amqp-body': 'malformed' } });
    expect(decodeMessage(Buffer.alloc(0)).body).toHaveLength(0);
  });

  it('cannot reach the prototype', () => {
    const read = decodeMessage(encode({ body: 'x', application_properties: JSON.parse('{"__proto__":"y"}') as never }));
    expect(Object.getPrototypeOf(read.headers)).toBe(Object.prototype);
  });
});
