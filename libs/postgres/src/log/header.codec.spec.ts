import { describe, expect, it } from 'vitest';
import { decodeHeaders, encodeHeaders } from './header.codec.js';

const stored = (headers: Parameters<typeof encodeHeaders>[0]): unknown => JSON.parse(encodeHeaders(headers));

describe('headers in a column', () => {
  it('are plain JSON where they are text', () => {
    expect(encodeHeaders({ a: '1', b: 'grüße ✓' })).toBe('{"a":"1","b":"grüße ✓"}');
    expect(decodeHeaders(stored({ a: '1', empty: '' }))).toEqual({ a: '1', empty: '' });
  });

  it('keep bytes', () => {
    const bytes = Uint8Array.of(0xff, 0x00, 0x80);
    const headers = decodeHeaders(stored({ text: 'x', bytes, buffer: Buffer.from(bytes) }));
    expect(headers).toEqual({ text: 'x', bytes: Buffer.from(bytes), buffer: Buffer.from(bytes) });
  });

  it('keep a NUL and half a pair of surrogates from harming the statement', () => {
    expect(encodeHeaders({ a: 'x\0y', b: '\ud800' })).toBe('{"a":"x\\u0000y","b":"\\ud800"}');
  });

  it.each([null, 'text', 5, undefined])('are none where the column holds %j', (value) => {
    expect(decodeHeaders(value)).toEqual({});
  });

  it('show what somebody else stored, whatever it is', () => {
    expect(decodeHeaders({ n: 1, list: [1], none: null, odd: { base64: 5 } })).toEqual({
      n: '1',
      list: '[1]',
      none: 'null',
      odd: '{"base64":5}',
    });
  });
});
