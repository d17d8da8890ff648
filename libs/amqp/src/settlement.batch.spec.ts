import { expect, it } from 'vitest';
import { SettlementBatch } from './settlement.batch.js';

it('makes as few ranges as there are gaps, whatever the order', () => {
  const batch = new SettlementBatch();
  const ranges: number[][] = [];
  const take = (first: number, last: number): void => void ranges.push([first, last]);
  batch.takeRanges(take);
  for (const id of [5, 3, 4, 9, 1, 8]) batch.add(id);
  expect(batch.size).toBe(6);
  batch.takeRanges(take);
  expect(ranges).toEqual([
    [1, 1],
    [3, 5],
    [8, 9],
  ]);
  batch.add(7);
  batch.takeRanges(take);
  expect(ranges.at(-1)).toEqual([7, 7]);
  expect(batch.size).toBe(0);
});
