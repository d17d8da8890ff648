import { describe, expect, it } from 'vitest';
import { eachHeader, type Frame, FrameError, FrameReader, headerOf, unescapeHeader } from './frame.reader.js';
import { escapeHeader, FrameWriter, header } from './frame.writer.js';

interface Read {
  readonly frames: Frame[];
  readonly oversized: { readonly command: string; readonly bytes: number }[];
}

/** Reads what comes in pieces of these sizes, one after the other and over again. */
function read(bytes: Buffer, sizes: readonly number[], maxFrameBytes = 1024): Read {
  const result: Read = { frames: [], oversized: [] };
  const reader = new FrameReader(maxFrameBytes, {
    frame: (frame) => result.frames.push({ ...frame, body: Buffer.from(frame.body) }),
    oversized: (command, _head, length) => result.oversized.push({ command, bytes: length }),
  });
  for (let at = 0, turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? 1;
    reader.push(Buffer.from(bytes.subarray(at, at + size)));
    at += size;
  }
  return result;
}

const headersOf = ({ head }: Frame): [string, string][] => {
  const all: [string, string][] = [];
  eachHeader(head, (name, value) => all.push([unescapeHeader(name), unescapeHeader(value)]));
  return all;
};

const VALUES = [
  '',
  ' ',
  '  a  ',
  'C:\\new\\r\\c:\\\\',
  'a\nb\r\nc',
  ':',
  '\\',
  '\\n',
  '\\\\n',
  'grüße 🗝',
  'a:b:c',
  '\u0000',
];

describe('headers', () => {
  it.each(VALUES)('come back as they were written: %j', (value) => {
    expect(unescapeHeader(escapeHeader(value))).toBe(value);
    expect(escapeHeader(value)).not.toMatch(/[\n\r:]/);
  });

  it('are looked up whole, and of several the first counts', () => {
    const head = 'x-receipt-id:1\nreceipt-id:a\\cb\nreceipt-id:2';
    expect(headerOf(head, 'receipt-id')).toBe('a:b');
    expect(headerOf(head, 'x-receipt-id')).toBe('1');
    expect(headerOf(head, 'receipt')).toBeUndefined();
    expect(headerOf('', 'a')).toBeUndefined();
  });

  it('keep an escape that there is none of', () => expect(unescapeHeader('\\t\\')).toBe('\\t\\'));
});

describe('frames', () => {
  const writer = new FrameWriter();
  const bodies = [Buffer.alloc(0), Buffer.of(0, 10, 13, 0, 255), Buffer.alloc(1000, 'x\n\n\u0000')];
  for (const body of bodies) {
    const head = `MESSAGE\n${VALUES.map((value, index) => header(`n:${index}`, value)).join('')}`;
    writer.frame(`${head}content-length:${body.length}\n`, body);
    writer.frame('RECEIPT\nreceipt-id:1\n');
  }
  const bytes = Buffer.concat([Buffer.from('\n\r\n'), writer.take(), Buffer.from('\n')]);

  it.each([[1], [2], [3], [7], [64], [1, 500], [100_000], [13, 1, 1, 90]])(
    'are the same in pieces of %j',
    (...sizes) => {
      const { frames, oversized } = read(bytes, sizes);
      expect(oversized).toEqual([]);
      expect(frames.map(({ command }) => command)).toEqual(bodies.flatMap(() => ['MESSAGE', 'RECEIPT']));
      const messages = frames.filter(({ command }) => command === 'MESSAGE');
      expect(messages.map(({ body }) => body)).toEqual(bodies);
      for (const message of messages)
        expect(headersOf(message).slice(0, -1)).toEqual(VALUES.map((value, index) => [`n:${index}`, value]));
    },
  );

  it.each([[1], [5], [1000]])(
    'may have line breaks of two characters and bodies up to a zero, in pieces of %i',
    (size) => {
      const { frames } = read(Buffer.from('MESSAGE\r\na:1\r\nb:2\r\n\r\ntext\u0000\r\nRECEIPT\n\n\u0000'), [size]);
      expect(frames.map(({ command, head, body }) => [command, head, body.toString()])).toEqual([
        ['MESSAGE', 'a:1\nb:2', 'text'],
        ['RECEIPT', '', ''],
      ]);
    },
  );

  it.each([[3], [700], [100_000]])('above the bound pass without being kept, in pieces of %i', (size) => {
    const large = Buffer.alloc(5_000, 'y');
    writer.frame('MESSAGE\ncontent-length:5000\n', large);
    writer.frame('MESSAGE\n', large);
    writer.frame('RECEIPT\nreceipt-id:9\n');
    const { frames, oversized } = read(writer.take(), [size]);
    expect(frames.map(({ head }) => head)).toEqual(['receipt-id:9']);
    expect(oversized.map(({ bytes: length }) => length >= 4_000)).toEqual([true, true]);
  });

  it.each([
    'content-length:-1',
    'content-length:1e3',
    'content-length:',
    'content-length:99999999999',
    'content-length:1',
  ])('that lie about their length are an error: %s', (line) => {
    expect(() => read(Buffer.from(`MESSAGE\n${line}\n\nabc\u0000`), [1_000])).toThrow(FrameError);
  });

  it('without an end of their headers are an error, and not kept for ever', () => {
    expect(() => read(Buffer.alloc(3 * 1024 * 1024, 'a:b\n'), [65_536])).toThrow(FrameError);
  });
});
