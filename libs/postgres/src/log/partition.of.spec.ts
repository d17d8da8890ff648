import { describe, expect, it } from 'vitest';
import { partitionOf } from './partition.of.js';

describe('the partition of a key', () => {
  it('never changes: processes of all versions agree', () => {
    expect(['', 'a', 'order-1', 'order-2', 'schlüssel ✓', '🗝'].map((key) => partitionOf(key, 1_000))).toEqual(PINNED);
  });

  it('is even, for keys that differ in little', () => {
    const counts = new Array<number>(16).fill(0);
    for (let n = 0; n < 16_000; n++) {
      const partition = partitionOf(`order-${n}`, 16);
      counts[partition] = (counts[partition] ?? 0) + 1;
    }
    expect(Math.min(...counts)).toBeGreaterThan(800);
    expect(Math.max(...counts)).toBeLessThan(1_200);
  });
});

const PINNED = [923, 715, 732, 664, 668, 415];
