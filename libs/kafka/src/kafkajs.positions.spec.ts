import { describe, expect, it } from 'vitest';
import { decodePositions, encodePositionFetch } from './kafkajs.positions.js';

/** As a broker would, of version 7. */
function answer(
  topics: readonly (readonly [string, readonly (readonly [number, number, string, number])[]])[],
  whole = 0,
): Buffer {
  const text = (value: string): number[] => [value.length + 1, ...Buffer.from(value)];
  const number = (bytes: number, value: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeIntBE(value, Math.max(0, bytes - 6), Math.min(6, bytes));
    if (bytes === 8 && value < 0) buffer.fill(0xff);
    return buffer;
  };
  const bytes: (number[] | Buffer)[] = [[0], number(4, 0), [topics.length + 1]];
  for (const [topic, partitions] of topics) {
    bytes.push(text(topic), [partitions.length + 1]);
    for (const [partition, offset, metadata, code] of partitions)
      bytes.push(number(4, partition), number(8, offset), number(4, -1), text(metadata), number(2, code), [0]);
    // A tag that nobody knows: two bytes under number 5.
    bytes.push([1, 5, 2, 9, 9]);
  }
  bytes.push(number(2, whole), [0]);
  return Buffer.concat(bytes.map((part) => Buffer.from(part)));
}

describe('the question for stable positions', () => {
  it('names group and partitions, and asks for what no transaction is about to change', () => {
    const body = encodePositionFetch('shop.A', [
      { topic: 'orders', partition: 1 },
      { topic: 'orders', partition: 258 },
    ]);
    const expected = [
      0,
      7,
      ...Buffer.from('shop.A'),
      2,
      7,
      ...Buffer.from('orders'),
      3,
      0,
      0,
      0,
      1,
      0,
      0,
      1,
      2,
      0,
      1,
      0,
    ];
    expect([...body]).toEqual(expected);
  });

  it('writes lengths above 127 in two bytes', () => {
    const body = encodePositionFetch('g'.repeat(200), []);
    expect([...body.subarray(0, 4)]).toEqual([0, 0xc9, 0x01, 'g'.charCodeAt(0)]);
  });
});

describe('the answer', () => {
  it('has the positions that there are, with their notes', async () => {
    const found = await decodePositions(
      answer([
        [
          'orders',
          [
            [0, 42, '1;a=2', 0],
            [1, -1, '', 0],
          ],
        ],
        ['retry', [[2, 7, '', 0]]],
      ]),
      'shop.A',
      [],
    );
    expect(found.positions).toEqual([
      { topic: 'orders', partition: 0, offset: 42, metadata: '1;a=2' },
      { topic: 'retry', partition: 2, offset: 7, metadata: '' },
    ]);
    expect(found.unstable).toEqual([]);
  });

  it('says where a transaction is being ended, and what else is wrong', async () => {
    const orders = [
      [0, 42, '', 88],
      [1, 7, '', 0],
    ] as const;
    expect(await decodePositions(answer([['orders', orders]]), 'shop.A', [])).toEqual({
      positions: [{ topic: 'orders', partition: 1, offset: 7, metadata: '' }],
      unstable: [{ topic: 'orders', partition: 0 }],
    });
    await expect(decodePositions(answer([['orders', [[0, 42, '', 29]]]]), 'shop.A', [])).rejects.toMatchObject({
      type: 'TOPIC_AUTHORIZATION_FAILED',
      message: expect.stringContaining('shop.A in orders/0'),
    });
    await expect(decodePositions(answer([], 16), 'shop.A', [])).rejects.toMatchObject({
      type: 'NOT_COORDINATOR_FOR_GROUP',
    });
  });

  it('is an error where it leaves a partition out: that is not the same as no position', async () => {
    const sources = [0, 1].map((partition) => ({ topic: 'orders', partition }));
    await expect(decodePositions(answer([['orders', [[0, 42, '', 0]]]]), 'shop.A', sources)).rejects.toMatchObject({
      message: expect.stringContaining('shop.A in orders/1'),
    });
    await expect(decodePositions(answer([]), 'shop.A', sources)).rejects.toThrow('orders/0');
  });
});
