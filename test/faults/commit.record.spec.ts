import { expect, it } from 'vitest';
import { readCommit } from './commit.record.js';

const text = (value: string): Buffer => Buffer.concat([Buffer.from([0, value.length]), Buffer.from(value)]);
const keyOf = (version: number): Buffer =>
  Buffer.concat([Buffer.from([0, version]), text('shop.Counter'), text('counted'), Buffer.from([0, 0, 0, 5])]);

it('reads what a broker keeps of a commit, and passes over the rest', () => {
  const value = Buffer.concat([Buffer.from([0, 4]), Buffer.from([0, 0, 0, 0, 0, 0, 1, 2]), text('notes')]);
  expect(readCommit(keyOf(1), value)).toEqual({ group: 'shop.Counter', topic: 'counted', partition: 5, offset: 258 });
  expect(readCommit(keyOf(1), null)).toBeUndefined();
  expect(readCommit(keyOf(2), value)).toBeUndefined();
});
