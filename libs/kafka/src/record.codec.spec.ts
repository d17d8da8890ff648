import { gunzipSync, gzipSync } from 'node:zlib';
import kafkajs from 'kafkajs';
import { describe, expect, it } from 'vitest';
import { crc32c } from './crc32c.js';
import type { IncomingRecord, OutgoingRecord } from './kafka.driver.js';
import { partitionOf } from './murmur2.js';
import { RecordDecoder, type Decompress } from './record.decoder.js';
import { RecordEncoder } from './record.encoder.js';

const IDENTITY = { producerId: 42n, producerEpoch: 1, firstSequence: 7 };
const unused = (): Promise<Buffer> => Promise.reject(new Error('not compressed'));

function encode(records: readonly OutgoingRecord[]): Buffer {
  const encoder = new RecordEncoder();
  encoder.begin(16);
  encoder.batch(records, IDENTITY);
  return encoder.finish().subarray(4);
}

async function decode(
  batch: Buffer,
  from = 0,
  decompress: Decompress = unused,
): Promise<{ records: IncomingRecord[]; next: number }> {
  const records: IncomingRecord[] = [];
  const next = await new RecordDecoder(decompress).decode(batch, from, [], records);
  return { records, next };
}

/** Puts a batch elsewhere in the log, or gives it other attributes. */
function patched(batch: Buffer, changes: { offset?: number; attributes?: number }): Buffer {
  const copy = Buffer.from(batch);
  if (changes.offset !== undefined) copy.writeBigInt64BE(BigInt(changes.offset), 0);
  if (changes.attributes !== undefined) copy.writeInt16BE(changes.attributes, 21);
  return copy;
}

const record = (value: string, changes: Partial<OutgoingRecord> = {}): OutgoingRecord => ({
  key: undefined,
  value: Buffer.from(value),
  headers: {},
  time: 1_700_000_000_000,
  ...changes,
});

describe('record batches', () => {
  it('come back as they were written', async () => {
    const long = 'ü'.repeat(5_000);
    const written = [
      record('a', { key: 'k', headers: { 'content-type': 'application/json', x: 'é', empty: '' } }),
      record('', { time: 1_700_000_000_000 - 3e12, key: Buffer.from([0xff, 0x00]) }),
      record('x'.repeat(20_000), { headers: { [long.slice(0, 40)]: long, bytes: Buffer.from([1, 2, 3]) } }),
      record('z'.repeat(3_000_000), { time: 1_700_000_000_000 + 9e11 }),
      record('last', {
        value: null,
        headers: Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`h${i}`, `${i}`])),
      }),
    ];
    const { records, next } = await decode(encode(written));
    expect(next).toBe(5);
    expect(records.map(({ offset, time }) => [offset, time])).toEqual(written.map(({ time }, index) => [index, time]));
    for (const [index, { key, value, headers }] of written.entries()) {
      const read = records[index] as IncomingRecord;
      expect(read.key && Buffer.from(read.key)).toEqual(key === undefined ? null : Buffer.from(key as string));
      expect(read.value?.length).toBe(value?.length);
      expect(Object.keys(read.headers)).toEqual(Object.keys(headers));
      for (const name of Object.keys(headers)) {
        expect(Buffer.from(read.headers[name] as Uint8Array)).toEqual(Buffer.from(headers[name] as string));
      }
    }
  });

  it('carry a checksum that covers them', () => {
    expect(crc32c(Buffer.from('123456789'), 0, 9)).toBe(0xe3069283);
    const batch = encode([record('a'), record('b')]);
    expect(batch.readUInt32BE(17)).toBe(crc32c(batch, 21, batch.length));
    expect([batch.readBigInt64BE(43), batch.readInt16BE(51), batch.readInt32BE(53)]).toEqual([42n, 1, 7]);
  });

  it('are read from the middle, across gaps, and left alone where cut off', async () => {
    const batch = encode([record('a'), record('b'), record('c')]);
    const later = patched(batch, { offset: 100 });
    const all = await decode(Buffer.concat([batch, later, later.subarray(0, 70)]), 1);
    expect(all.records.map(({ offset }) => offset)).toEqual([1, 2, 100, 101, 102]);
    expect(all.next).toBe(103);
  });

  it('that compaction left empty move the position', async () => {
    const empty = encode([record('a')]).subarray(0, 61);
    const copy = patched(empty, { offset: 50 });
    copy.writeInt32BE(61 - 12, 8);
    copy.writeInt32BE(9, 23);
    copy.writeInt32BE(0, 57);
    expect(await decode(copy, 50)).toEqual({ records: [], next: 60 });
  });

  it('of aborted transactions and markers are left out, and others of the same producer are not', async () => {
    const inTransaction = encode([record('t')]);
    const log = Buffer.concat([
      patched(inTransaction, { offset: 10, attributes: 0x10 }),
      patched(inTransaction, { offset: 11, attributes: 0x30 }), // its marker
      patched(inTransaction, { offset: 12, attributes: 0x10 }),
      patched(inTransaction, { offset: 13, attributes: 0 }),
    ]);
    const records: IncomingRecord[] = [];
    const next = await new RecordDecoder(unused).decode(log, 10, [{ producerId: 42n, firstOffset: 10 }], records);
    expect(records.map(({ offset }) => offset)).toEqual([12, 13]);
    expect(next).toBe(14);
  });

  it('are undone from compression', async () => {
    const batch = encode([record('a'), record('b')]);
    const squeezed = gzipSync(batch.subarray(61));
    const head = patched(batch.subarray(0, 61), { attributes: 1 });
    head.writeInt32BE(61 - 12 + squeezed.length, 8);
    const read = await decode(Buffer.concat([head, squeezed]), 0, (_codec, bytes) =>
      Promise.resolve(gunzipSync(bytes)),
    );
    expect(read.records.map(({ value }) => String(value))).toEqual(['a', 'b']);
  });

  it('keep names that objects have anyway, and of two with one name the last', async () => {
    const headers = JSON.parse('{"__proto__":"1","constructor":"2","toString":"3"}') as Record<string, string>;
    const { records } = await decode(encode([record('a', { headers })]));
    expect(Object.keys(records[0]?.headers ?? {})).toEqual(['__proto__', 'constructor', 'toString']);
    expect(Object.getPrototypeOf(records[0]?.headers)).toBe(Object.prototype);
    const twice = encode([record('a', { headers: { aa: 'first', ab: 'second' } })]);
    twice[twice.lastIndexOf('ab') + 1] = 'a'.charCodeAt(0);
    expect(String((await decode(twice)).records[0]?.headers['aa'])).toBe('second');
  });

  it('that are damaged anywhere end in an error or in records, never elsewhere', async () => {
    const batch = encode([record('a', { key: 'k', headers: { a: 'b' } }), record('b')]);
    for (let at = 8; at < batch.length; at++) {
      for (const value of [0x00, 0x7f, 0x80, 0xff]) {
        const damaged = Buffer.from(batch);
        damaged[at] = value;
        const outcome: unknown = await decode(damaged).catch((error: unknown) => error);
        expect(outcome).toBeInstanceOf(Object);
      }
    }
  });
});

describe('the partition of a key', () => {
  it('is the one that other clients choose', () => {
    const partitioner = kafkajs.Partitioners.DefaultPartitioner();
    for (let index = 0; index < 2_000; index++) {
      const key = index % 3 === 0 ? `ключ-${index}` : `key-${index.toString(36).repeat(index % 17)}`;
      const partitionMetadata = Array.from({ length: 7 }, (_, partitionId) => ({ partitionId, leader: 0 }));
      const theirs = partitioner({ topic: 't', partitionMetadata, message: { key, value: '' } } as never);
      expect(partitionOf(key, 7), key).toBe(theirs);
      expect(partitionOf(Buffer.from(key), 7)).toBe(theirs);
    }
  });
});
