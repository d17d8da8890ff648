import { describe, expect, it } from 'vitest';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import { json } from './json.serializer.js';

const event = {} as EventDescriptor;
const write = (body: object): string => Buffer.from(json.serialize(body, event)).toString();
const read = (text: string | Uint8Array): unknown =>
  json.deserialize(typeof text === 'string' ? Buffer.from(text) : text, event);

describe('JSON, written', () => {
  it('is UTF-8', () => {
    expect(write({ name: 'Käse 😀' })).toBe('{"name":"Käse 😀"}');
    expect(json.contentType).toBe('application/json');
  });

  it('is a fresh buffer each time', () => {
    const body = { a: 1 };
    const [one, two] = [json.serialize(body, event), json.serialize(body, event)];
    one[1] = 0;
    expect(Buffer.from(two).toString()).toBe('{"a":1}');
  });

  it.each([
    ['a big integer', { a: 1n }],
    ['a circle', circle()],
    ['something without a JSON form', { toJSON: () => undefined }],
  ])('refuses %s', (_what, body) => {
    expect(() => write(body)).toThrow(TypeError);
  });

  it('refuses a key that no receiver would read', () => {
    expect(() => write(JSON.parse('{"a":{"__proto__":{"admin":true}}}') as object)).toThrow(
      /forbidden prototype property/,
    );
    expect(() => write({ a: { constructor: { prototype: 1 } } })).toThrow(/forbidden prototype property/);
  });

  it('takes such words as values', () => {
    expect(read(write({ a: '__proto__', b: 'the constructor' }))).toEqual({ a: '__proto__', b: 'the constructor' });
  });
});

describe('JSON, read', () => {
  it('is what was written', () => {
    const body = { text: 'ä\u2028"\\', number: -0.5, list: [null, true, { a: {} }], empty: '' };
    expect(read(write(body))).toEqual(body);
  });

  it('reads a view into a larger buffer', () => {
    const bytes = new Uint8Array(Buffer.from('xx{"a":1}xx'));
    expect(read(bytes.subarray(2, 9))).toEqual({ a: 1 });
  });

  it.each([
    ['nothing', '', /JSON/],
    ['half a document', '{"a":', /JSON/],
    ['more than a document', '{} {}', /JSON/],
    ['bytes that are not UTF-8', Buffer.from([0x22, 0xff, 0x22]), /not UTF-8/],
    ['an overlong encoding', Buffer.from([0x22, 0xc0, 0xaf, 0x22]), /not UTF-8/],
  ])('refuses %s', (_what, bytes, message) => {
    expect(() => read(bytes)).toThrow(message);
  });

  it.each([
    '{"__proto__":{"admin":true}}',
    '{"a":[{"__proto__":null}]}',
    '{"\\u005f\\u005fproto__":1}',
    '{"\\u005F_pr\\u006fto_\\u005f" : 1}',
    '{"constructor":{"prototype":{"admin":true}}}',
    '{"\\u0063onstructor":{"prototype":1}}',
  ])('refuses %s', (text) => {
    expect(() => read(text)).toThrow(/forbidden prototype property/);
    expect(({} as Record<string, unknown>)['admin']).toBeUndefined();
  });

  it.each(['{"a":"__proto__"}', '{"a":"\\u005f_proto__"}', '{"constructor":"Meccano"}', '{"a":"\\u00e4"}'])(
    'reads %s, which only looks like it',
    (text) => {
      expect(read(text)).toEqual(JSON.parse(text));
    },
  );
});

function circle(): object {
  const body: Record<string, unknown> = {};
  body['self'] = body;
  return body;
}
