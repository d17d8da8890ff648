import { describe, expect, it } from 'vitest';
import { refusalOf } from '../kernel.fixture.js';
import { checkHeaderBytes, EventHeaders, isHeaderName, MAX_HEADER_BYTES } from './event.headers.js';

describe('EventHeaders', () => {
  it('gets what was set, replaces, deletes, and lists in order of setting', () => {
    const headers = new EventHeaders().set('tenant', 'a').set('locale', 'de').set('tenant', 'b');
    expect(headers.get('tenant')).toBe('b');
    expect([...headers]).toEqual([
      ['tenant', 'b'],
      ['locale', 'de'],
    ]);
    expect(headers.size).toBe(2);
    expect(headers.delete('tenant')).toBe(true);
    expect(headers.has('tenant')).toBe(false);
    expect(headers.set('locale', undefined).size).toBe(0);
  });

  it('answers while it is empty', () => {
    const headers = new EventHeaders();
    expect([headers.size, headers.get('a'), headers.has('a'), headers.delete('a'), [...headers]]).toEqual([
      0,
      undefined,
      false,
      false,
      [],
    ]);
    expect(JSON.stringify(headers.set('a', undefined))).toBe('{}');
  });

  it('becomes a plain object in JSON', () => {
    expect(JSON.stringify(new EventHeaders().set('tenant', 'a'))).toBe('{"tenant":"a"}');
  });

  it.each(['tenant', 'x-tenant', 'a.b_c-1', '0', 'x'.repeat(128), 'constructor', 'tracer'])(
    'takes the name "%s"',
    (name) => {
      expect(new EventHeaders().set(name, 'v').get(name)).toBe('v');
      expect(isHeaderName(name)).toBe(true);
    },
  );

  it.each(['', 'Tenant', 'a b', 'ä', 'a:b', 'a\n', 'x'.repeat(129)])(
    'refuses the name "%s", saying what a name is',
    (name) => {
      expect(refusalOf(() => new EventHeaders().set(name, 'v'))).toMatchObject({
        code: 'EVT_INVALID_HEADER',
        message: expect.stringContaining(`"${name}" cannot travel: use a-z`),
      });
      expect(isHeaderName(name)).toBe(false);
    },
  );

  it.each([
    'ce_id',
    'ce-id',
    'cloudevents',
    'eventing-attempt',
    'content-type',
    '__proto__',
    'traceparent',
    'tracestate',
  ])('keeps the name "%s" for itself', (name) => {
    expect(refusalOf(() => new EventHeaders().set(name, 'v'))).toMatchObject({
      code: 'EVT_INVALID_HEADER',
      message: expect.stringContaining(`"${name}" is reserved`),
    });
    expect(isHeaderName(name)).toBe(false);
  });

  it.each([
    ['a lone surrogate', '\ud800'],
    ['NUL', 'a\u0000b'],
    ['a number', 7 as unknown as string],
    ['null', null as unknown as string],
  ])('refuses %s as a value, naming the header', (_what, value) => {
    expect(refusalOf(() => new EventHeaders().set('tenant', value))).toMatchObject({
      code: 'EVT_INVALID_HEADER',
      message: expect.stringContaining('"tenant" must be well-formed text'),
    });
  });

  it('inherits the trace, which nobody may set, and holds everything else to the same rules', () => {
    const headers = new EventHeaders();
    headers.inherit('traceparent', '00-1-2-01');
    headers.inherit('session', 's');
    expect(headers.toJSON()).toEqual({ traceparent: '00-1-2-01', session: 's' });
    for (const [name, value] of [
      ['ce_id', 'v'],
      ['Session', 'v'],
      ['session', '\ud800'],
      ['traceparent', '\u0000'],
    ] as const)
      expect(refusalOf(() => headers.inherit(name, value)).code).toBe('EVT_INVALID_HEADER');
  });
});

describe('the size of headers', () => {
  const filled = (bytes: number): EventHeaders => new EventHeaders().set('h', 'x'.repeat(bytes - 1));

  it('may be 8 KiB, names included', () => {
    expect(MAX_HEADER_BYTES).toBe(8192);
    expect(() => checkHeaderBytes(filled(8192), 'OrderPlaced')).not.toThrow();
    expect(refusalOf(() => checkHeaderBytes(filled(8193), 'OrderPlaced'))).toMatchObject({
      code: 'EVT_INVALID_HEADER',
      message: expect.stringMatching(/OrderPlaced take 8193 bytes, 8192 may travel: move what is large into the body/),
    });
  });

  it('is counted in bytes, not in characters', () => {
    const headers = new EventHeaders().set('h', 'ä'.repeat(4096));
    expect(refusalOf(() => checkHeaderBytes(headers, 'OrderPlaced')).message).toContain('8193 bytes');
  });
});
