import type { ConsumeMessage } from 'amqplib';
import { describe, expect, it } from 'vitest';
import { decodeFacts, decodeHeaders, encodeProperties, foreignTime, refOf, timeOf } from './message.codec.js';
import { LetterCodec } from './dead-letter.message.js';
import { letterOf } from './rabbit.fixture.js';
import { decodeDeadLetter } from 'nestjs-eventing';
import { partitionOf } from './rabbit.names.js';

function received(properties: object, content: Buffer = Buffer.alloc(0)): ConsumeMessage {
  return { properties, content, fields: { routingKey: 'orders' } } as unknown as ConsumeMessage;
}

describe('what travels beside a body', () => {
  it('comes back as it was given, and what is ours apart from it', () => {
    const time = 1_763_000_000_123;
    const headers = { 'content-type': 'application/json', session: 's', raw: Uint8Array.of(255), empty: '' };
    const properties = encodeProperties({ id: 'e1', key: '', headers, time, ref: refOf(time, 'me', 7), attempt: 3, notBefore: 5 }, true); // prettier-ignore
    expect(properties).toMatchObject({ contentType: 'application/json', messageId: 'e1', persistent: true });
    const message = received(properties);
    expect(decodeHeaders(message)).toEqual({ ...headers, raw: Buffer.from([255]) });
    const facts = decodeFacts(message);
    expect(facts).toMatchObject({ key: '', attempt: 3, notBefore: 5, returns: 0 });
    expect(timeOf(facts.ref ?? '')).toBe(time);
    expect(foreignTime(message)).toBe(Math.floor(time / 1000) * 1000);
  });

  it('is not put where it does not fit', () => {
    const long = 'ü'.repeat(200);
    const properties = encodeProperties({ id: long, key: undefined, headers: { 'content-type': long }, time: 0, ref: refOf(0, 'me', 1) }, false); // prettier-ignore
    expect([properties.messageId, properties.contentType]).toEqual([undefined, undefined]);
    expect(decodeHeaders(received(properties))).toEqual({ 'content-type': long });
  });

  it('may be of any of AMQP’s types where others wrote it', () => {
    const headers = {
      number: 1.5,
      yes: true,
      nothing: null,
      bytes: Buffer.from([1]),
      when: { '!': 'timestamp', value: 12 },
      price: { '!': 'decimal', value: { places: 2, digits: 1250 } },
      list: [1, 'a'],
      table: { a: { b: 1 } },
      'x-death': [{}],
      'x-delivery-count': 3,
    };
    expect(decodeHeaders(received({ headers, replyTo: 'r', correlationId: 'c', contentType: 'a/b' }))).toEqual({
      number: '1.5',
      yes: 'true',
      nothing: '',
      bytes: Buffer.from([1]),
      when: '12',
      price: '12.5',
      list: '[1,"a"]',
      table: '{"a":{"b":1}}',
      'reply-to': 'r',
      'correlation-id': 'c',
      'content-type': 'a/b',
    });
    expect(decodeHeaders(received({ headers: undefined }))).toEqual({});
    const hostile = { 'eventing-ref': 'no ref', 'eventing-attempt': -1, 'eventing-not-before': 'x', 'x-delivery-count': 1e300 }; // prettier-ignore
    const none = { ref: undefined, key: undefined, attempt: 1, notBefore: undefined, returns: 0 };
    expect(decodeFacts(received({ headers: hostile }))).toEqual(none);
    expect(foreignTime(received({ timestamp: 1_700_000_000_000 }))).toBe(1_700_000_000_000);
    expect(foreignTime(received({ timestamp: Number.NaN }))).toBeUndefined();
  });
});

describe('a dead letter', () => {
  it.each([
    ['few', 10],
    ['more than the client library encodes', 63_000],
  ])('keeps its headers, %s', (_, size) => {
    const headers = { long: 'é'.repeat(size / 2), raw: Buffer.from([0, 255]), 'content-type': 'a/b' };
    const letter = letterOf('1', 'orders', { headers });
    const { sent, body } = LetterCodec.letter(letter, 1_000);
    const stored = received(encodeProperties(sent, true), body);
    expect(LetterCodec.idOf(stored)).toBe('1');
    const { message, ...rest } = decodeDeadLetter('1', LetterCodec.stored(stored));
    expect(rest).toMatchObject({ listener: 'Receipt', reason: 'failed', attempts: 5 });
    expect(message.headers).toEqual(headers);
    expect(Buffer.compare(message.body, letter.message.body)).toBe(0);
  });
});

it('spreads keys over partitions, each to one of them for ever', () => {
  const counts = Array.from({ length: 8 }, () => 0);
  for (let index = 0; index < 8_000; index++) counts[partitionOf(`order-${index}`, 8)]! += 1;
  expect(Math.min(...counts)).toBeGreaterThan(700);
  expect(['', 'a', 'order-1', 'ключ'].map((key) => partitionOf(key, 16))).toEqual([12, 4, 2, 12]);
});
