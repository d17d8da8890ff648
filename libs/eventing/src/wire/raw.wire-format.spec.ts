import { describe, expect, it } from 'vitest';
import { refusalOf } from '../kernel.fixture.js';
import { BINDING, ScriptedDelivery } from '../scripted.provider.fixture.js';
import type { Delivery, RawHeaders } from '../provider/event-provider.js';
import { raw, type RawOptions } from './raw.wire-format.js';
import type { WireAttributes } from './wire-format.js';

const attributes: WireAttributes = {
  id: 'e1',
  name: 'orders.placed',
  version: 1,
  source: '/shop',
  time: 1,
  key: 'k',
  correlationId: 'c',
  causationId: 'd',
  notBefore: undefined,
  expiresAt: undefined,
};
const decode = (headers: RawHeaders, options: RawOptions, parts: Partial<Delivery> = {}) =>
  raw(options).decode(new ScriptedDelivery('legacy', { headers, time: 9, key: 'k', ...parts }, 42), BINDING);

describe('the raw format', () => {
  it("writes the media type, users' headers, and no envelope", () => {
    const headers = raw({ event: 'orders.placed' }).encode(attributes, 'text/csv', [['tenant', 't']], BINDING);
    expect(headers).toEqual({ 'content-type': 'text/csv', tenant: 't' });
  });

  it('writes the id where a header is named for it', () => {
    expect(raw({ event: 'a', idHeader: 'message-id' }).encode(attributes, 'text/csv', [], BINDING)).toMatchObject({
      'message-id': 'e1',
    });
  });

  it('reads every message as the one event, its place in the channel as the id', () => {
    const body = Buffer.from('1;2');
    expect(decode({}, { event: 'orders.placed', version: 2 }, { body })).toEqual({
      id: 'legacy:0@42',
      name: 'orders.placed',
      version: 2,
      source: '/legacy',
      time: 9,
      key: 'k',
      correlationId: 'legacy:0@42',
      causationId: undefined,
      notBefore: undefined,
      expiresAt: undefined,
      contentType: 'application/json',
      headers: undefined,
      body,
    });
  });

  it("reads id, media type and plain headers, in any case, and leaves those alone that are nobody's to read", () => {
    const read = decode(
      {
        'Message-ID': Buffer.from('m1'),
        'Content-Type': 'text/csv',
        Tenant: 't',
        'eventing-x': '1',
        'a b': Buffer.from([0xff]),
      },
      { event: 'a', idHeader: 'Message-Id', source: '/legacy-shop' },
    );
    expect(read).toMatchObject({ id: 'm1', correlationId: 'm1', contentType: 'text/csv', source: '/legacy-shop' });
    expect([...(read.headers ?? [])]).toEqual([['tenant', 't']]);
  });

  it('hands the trace on', () => {
    const read = decode({ traceparent: '00-1-2-01', tracestate: 'v=1' }, { event: 'a' });
    expect(Object.fromEntries(read.headers ?? [])).toEqual({ traceparent: '00-1-2-01', tracestate: 'v=1' });
  });

  it('falls back to the place in the channel where the id header is missing', () => {
    expect(decode({}, { event: 'a', idHeader: 'message-id' }).id).toBe('legacy:0@42');
  });

  it('refuses a header that is not UTF-8', () => {
    expect(refusalOf(() => decode({ tenant: Buffer.from([0xff]) }, { event: 'a' }))).toMatchObject({
      code: 'EVT_UNDECODABLE',
      message: expect.stringContaining('header "tenant" is not UTF-8'),
    });
  });

  it('has a name that tells two of its kind apart: a channel has one format', () => {
    expect(raw({ event: 'a' }).name).not.toBe(raw({ event: 'a', version: 2 }).name);
    expect(raw({ event: 'a' }).name).toBe(raw({ event: 'a', version: 1 }).name);
  });
});
