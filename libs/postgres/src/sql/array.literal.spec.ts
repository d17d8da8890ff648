import { PGlite } from '@electric-sql/pglite';
import { describe, expect, it } from 'vitest';
import { numberArray, textArray } from './array.literal.js';

describe('the literal of an array', () => {
  it('is read by PostgreSQL as what it was made of', { timeout: 60_000 }, async () => {
    const texts = ['', 'plain', 'NULL', null, '"', '\\', '\\"', '{a,b}', ' , ', 'line\nbreak', '🗝 ✓', '\\x00', "'"];
    const numbers = [0, -1, 1_700_000_000_000];
    const database = await PGlite.create();
    const { rows } = await database.query<{ texts: string[]; numbers: number[] }>(
      'SELECT $1::text::text[] AS texts, $2::text::bigint[] AS numbers',
      [textArray(texts), numberArray(numbers)],
    );
    await database.close();
    expect(rows).toEqual([{ texts, numbers }]);
    expect([textArray([]), numberArray([])]).toEqual(['{}', '{}']);
  });
});
