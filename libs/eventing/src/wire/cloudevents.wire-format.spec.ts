import { describe, expect, it } from 'vitest';
import { refusalOf, seeded } from '../kernel.fixture.js';
import { BINDING, ce, ScriptedDelivery } from '../scripted.provider.fixture.js';
import type { Delivery, RawHeaders } from '../provider/event-provider.js';
import { cloudEvents } from './cloudevents.wire-format.js';
import type { DecodedMessage, WireAttributes, WireBinding } from './wire-format.js';

const BARE: WireBinding = {
  attributePrefix: 'ce-',
  contentTypeHeader: 'content-type',
  carriesTime: false,
  carriesKey: false,
};
const TIME = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

const least: WireAttributes = {
  id: 'e1',
  name: 'orders.placed',
  version: 1,
  source: '/shop',
  time: TIME,
  key: undefined,
  correlationId: 'e1',
  causationId: undefined,
  notBefore: undefined,
  expiresAt: undefined,
};
const full: WireAttributes = {
  ...least,
  version: 3,
  key: 'käse',
  correlationId: 'c1',
  causationId: 'd1',
  notBefore: TIME + 1000,
  expiresAt: TIME + 2000,
};

const delivery = (headers: RawHeaders, parts: Partial<Delivery> = {}): ScriptedDelivery =>
  new ScriptedDelivery('orders', { headers, time: TIME, ...parts }, 0);
const decode = (headers: RawHeaders, parts: Partial<Delivery> = {}, binding = BINDING): DecodedMessage =>
  cloudEvents.decode(delivery(headers, parts), binding);
const attributesOf = ({
  headers: _headers,
  body: _body,
  contentType: _type,
  ...attributes
}: DecodedMessage): WireAttributes => attributes;

describe('CloudEvents, written', () => {
  it('has no header for what is implied', () => {
    expect(cloudEvents.encode(least, 'application/json', [], BINDING)).toEqual({
      ce_specversion: '1.0',
      ce_id: 'e1',
      ce_source: '/shop',
      ce_type: 'orders.placed',
      'content-type': 'application/json',
    });
  });

  it("has a header for everything else, and users' headers plain", () => {
    expect(cloudEvents.encode(full, 'application/json', [['tenant', 't']], BINDING)).toEqual({
      ce_specversion: '1.0',
      ce_id: 'e1',
      ce_source: '/shop',
      ce_type: 'orders.placed',
      'content-type': 'application/json',
      ce_dataversion: '3',
      ce_correlationid: 'c1',
      ce_causationid: 'd1',
      ce_notbefore: '2026-01-02T03:04:06.678Z',
      ce_expirytime: '2026-01-02T03:04:07.678Z',
      tenant: 't',
    });
  });

  it("writes time and key where the transport has no field for them, in the transport's spelling", () => {
    expect(cloudEvents.encode(full, 'application/json', [], BARE)).toMatchObject({
      'ce-time': '2026-01-02T03:04:05.678Z',
      'ce-partitionkey': 'käse',
      'ce-specversion': '1.0',
      'ce-id': 'e1',
    });
    expect(cloudEvents.encode(least, 'application/json', [], BARE)).not.toHaveProperty('ce-partitionkey');
  });

  it('gives each message an object of its own', () => {
    const first = cloudEvents.encode(full, 'application/json', [['tenant', 't']], BINDING);
    const second = cloudEvents.encode(least, 'application/json', [], BINDING);
    expect(first).toMatchObject({ tenant: 't', ce_dataversion: '3' });
    expect(Object.keys(second)).toHaveLength(5);
  });
});

describe('CloudEvents, there and back', () => {
  it.each([
    ['least', least, BINDING],
    ['full', full, BINDING],
    ['least', least, BARE],
    ['full', full, BARE],
  ])('keeps every attribute (%s, carried by the transport or not)', (_name, attributes, binding) => {
    const headers = cloudEvents.encode(attributes, 'application/json', [['tenant', 't']], binding);
    const parts = { ...(binding.carriesKey ? { key: attributes.key } : {}), time: binding.carriesTime ? TIME : 0 };
    const message = decode(headers, parts, binding);
    expect(attributesOf(message)).toEqual(attributes);
    expect([...(message.headers ?? [])]).toEqual([['tenant', 't']]);
  });

  it('keeps whatever text an attribute has', () => {
    const random = seeded(1);
    const characters = ['a', 'Z', '9', ' ', '"', '\\', '/', '%', 'ä', '漢', '😀', '\n', '=', ';'];
    const text = (): string =>
      Array.from(
        { length: 1 + Math.floor(random() * 20) },
        () => characters[Math.floor(random() * characters.length)],
      ).join('');
    for (let round = 0; round < 200; round++) {
      const attributes = {
        ...full,
        id: text(),
        source: text(),
        name: text(),
        correlationId: text(),
        causationId: text(),
        key: text(),
      };
      const bytes = Object.entries(cloudEvents.encode(attributes, 'application/json', [['h', text()]], BARE)).map(
        ([name, value]) => [name, Buffer.from(value as string)] as const,
      );
      expect(attributesOf(decode(Object.fromEntries(bytes), { time: 0 }, BARE))).toEqual(attributes);
    }
  });
});

describe('CloudEvents, read', () => {
  it('fills in what was implied', () => {
    expect(attributesOf(decode(ce('orders.placed', { ce_source: '/shop' }), { key: 'k' }))).toEqual({
      ...least,
      key: 'k',
    });
    const { 'content-type': _type, ...headers } = ce('orders.placed');
    expect(decode(headers).contentType).toBe('application/json');
  });

  it("prefers a time that was written over the transport's, and the transport's key over one that was written", () => {
    const read = decode(ce('a', { ce_time: '2020-01-01T00:00:00Z', ce_partitionkey: 'written' }), { key: 'record' });
    expect([read.time, read.key]).toEqual([Date.UTC(2020, 0, 1), 'record']);
    expect(decode(ce('a', { ce_partitionkey: 'written' })).key).toBe('written');
  });

  it("hands the message's own bytes on as the body", () => {
    const body = Buffer.from('[1]');
    expect(decode(ce('a'), { body }).body).toBe(body);
  });

  it('reads attributes in any case, text or bytes', () => {
    const read = decode({
      CE_SpecVersion: Buffer.from('1.0'),
      Ce_Id: 'e1',
      CE_SOURCE: Buffer.from('/käse'),
      ce_type: 'a',
    });
    expect(read).toMatchObject({ id: 'e1', source: '/käse', name: 'a' });
  });

  it('keeps the trace and plain headers, and leaves what belongs to others where it is', () => {
    const read = decode(
      ce('a', {
        traceparent: '00-1-2-01',
        tracestate: 'v=1',
        tenant: Buffer.from('tänant'),
        'X-Upper': 'no',
        'eventing-attempt': '3',
        __TypeId__: 'com.shop.Order',
        kafka_deliveryAttempt: Buffer.from([0xff]),
        ce_someextension: 'x',
      }),
    );
    expect(Object.fromEntries(read.headers ?? [])).toEqual({
      traceparent: '00-1-2-01',
      tracestate: 'v=1',
      tenant: 'tänant',
    });
  });

  it('has no map of headers where there are none', () => {
    expect(decode(ce('a')).headers).toBeUndefined();
  });

  it.each([
    [
      'no specversion',
      { ce_specversion: undefined },
      'it is not a CloudEvent (no specversion); give the event another wire format',
    ],
    ['another specversion', { ce_specversion: '0.3' }, 'version "0.3" is not 1.0'],
    ['no id', { ce_id: undefined }, 'id is missing'],
    ['an empty id', { ce_id: '' }, 'id is missing'],
    ['no source', { ce_source: undefined }, 'source is missing'],
    ['no type', { ce_type: '' }, 'type is missing'],
    ['dataversion 0', { ce_dataversion: '0' }, 'dataversion "0" is not a positive integer'],
    ['dataversion 1.5', { ce_dataversion: '1.5' }, 'dataversion "1.5"'],
    ['a long dataversion', { ce_dataversion: '9'.repeat(400) }, 'dataversion "99999999999999999999" is'],
    ['an expiry that is no date', { ce_expirytime: 'tomorrow' }, 'expirytime "tomorrow" is not a date'],
    ['notbefore that is no date', { ce_notbefore: '' }, 'notbefore "" is not a date'],
    ['a time that is no date', { ce_time: 'x' }, 'time "x" is not a date'],
    ['an id that is not UTF-8', { ce_id: Buffer.from([0xc3, 0x28]) }, 'header "ce_id" is not UTF-8'],
    ['a header that is not UTF-8', { tenant: Buffer.from([0x80]) }, 'header "tenant" is not UTF-8'],
    [
      'a media type that is not UTF-8',
      { 'content-type': Buffer.from([0xed, 0xa0, 0x80]) },
      'header "content-type" is not UTF-8',
    ],
  ])('refuses %s, saying so', (_what, change, text) => {
    const headers = Object.fromEntries(
      Object.entries({ ...ce('a'), ...change }).filter(
        (entry): entry is [string, string | Buffer] => entry[1] !== undefined,
      ),
    );
    expect(refusalOf(() => decode(headers))).toMatchObject({
      code: 'EVT_UNDECODABLE',
      message: expect.stringContaining(text),
    });
  });
});

describe('CloudEvents in structured mode', () => {
  const structured = (document: string, headers: RawHeaders = {}): DecodedMessage =>
    decode(
      { 'content-type': 'application/cloudevents+json; charset=utf-8', ...headers },
      { body: Buffer.from(document), key: 'k' },
    );
  const attributes = { specversion: '1.0', id: 'e1', source: '/foreign', type: 'orders.placed' };

  it('reads attributes and data from one document', () => {
    const read = structured(
      JSON.stringify({
        ...attributes,
        dataversion: '2',
        time: '2020-01-01T00:00:00Z',
        datacontenttype: 'application/json',
        data: { a: [1] },
      }),
      { tenant: 't' },
    );
    expect(read).toMatchObject({ id: 'e1', name: 'orders.placed', version: 2, time: Date.UTC(2020, 0, 1), key: 'k' });
    expect(read.contentType).toBe('application/json');
    expect(Buffer.from(read.body).toString()).toBe('{"a":[1]}');
    expect([...(read.headers ?? [])]).toEqual([['tenant', 't']]);
  });

  it('reads data in base64 as bytes', () => {
    const read = structured(
      JSON.stringify({ ...attributes, data_base64: Buffer.from([1, 2, 255]).toString('base64') }),
    );
    expect([...read.body]).toEqual([1, 2, 255]);
  });

  it('reads a document without data as null', () => {
    expect(Buffer.from(structured(JSON.stringify(attributes)).body).toString()).toBe('null');
  });

  it('reads a version that is a number, as JSON has it, and passes over extensions of no use to us', () => {
    expect(structured(JSON.stringify({ ...attributes, sampledrate: 7, blocked: true, dataversion: 2 })).version).toBe(
      2,
    );
    expect(structured(JSON.stringify({ ...attributes, dataversion: null })).version).toBe(1);
  });

  it.each([
    ['not JSON', '{', 'CloudEvents document is not JSON'],
    ['not an object', '7', 'CloudEvents document is not an object'],
    ['null', 'null', 'CloudEvents document is not an object'],
    ['an array', '[]', 'no specversion'],
    ['without an id', '{"specversion":"1.0","source":"/a","type":"b"}', 'id is missing'],
    ['with a __proto__ key', '{"specversion":"1.0","__proto__":{"id":"x"}}', 'CloudEvents document is not JSON'],
    ['with an escaped __proto__ key in its data', '{"data":{"\\u005f_proto__":1}}', 'CloudEvents document is not JSON'],
  ])('refuses a document that is %s', (_what, document, text) => {
    expect(refusalOf(() => structured(document))).toMatchObject({
      code: 'EVT_UNDECODABLE',
      message: expect.stringContaining(text),
    });
  });
});
