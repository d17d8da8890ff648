import { describe, expect, it } from 'vitest';
import { METADATA_BYTES, decodeNotes, encodeNotes, type DoneRange } from './commit.metadata.js';

const NOTHING = { attempt: 1, done: [] };

describe('the notes beside a committed position', () => {
  it('are empty when there is nothing to say', () => {
    expect(encodeNotes(42, NOTHING)).toBe('');
    expect(decodeNotes(42, '')).toEqual(NOTHING);
  });

  it('come back as they were written', () => {
    for (const notes of [
      { attempt: 3, done: [] },
      { attempt: 1, done: [{ from: 43, to: 43 }] },
      {
        attempt: 2,
        done: [
          { from: 42, to: 50 },
          { from: 60, to: 60 },
          { from: 1e12, to: 1e12 + 5 },
        ],
      },
    ]) {
      expect(decodeNotes(42, encodeNotes(42, notes))).toEqual(notes);
    }
  });

  it('never exceed what a broker takes, and keep the earliest ranges', () => {
    const done = Array.from({ length: 5_000 }, (_, index): DoneRange => ({ from: 10 + index * 3, to: 11 + index * 3 }));
    const text = encodeNotes(5, { attempt: 9, done });
    expect(text.length).toBeLessThanOrEqual(METADATA_BYTES);
    const read = decodeNotes(5, text).done;
    expect(read.length).toBeGreaterThan(500);
    expect(read).toEqual(done.slice(0, read.length));
  });

  it('a window of 256 with every second one done always fits', () => {
    const done = Array.from({ length: 128 }, (_, index): DoneRange => ({
      from: index * 1e9 + 1,
      to: index * 1e9 + 7e6,
    }));
    expect(decodeNotes(0, encodeNotes(0, { attempt: 999_999, done })).done).toHaveLength(128);
  });

  it('count as nothing when somebody else wrote them', () => {
    for (const text of [
      '2;a=2',
      'x',
      '1;a=0',
      '1;a=-1',
      '1;a=99999999',
      '{"a":1}',
      '1;b=2',
      `1;d=${'1,'.repeat(3000)}`,
    ]) {
      expect(decodeNotes(42, text)).toEqual(NOTHING);
    }
    for (const text of ['1;d=1..2', '1;d=1,0', '1;d=,', '1;d=.', '1;d=zzzzzzzzzzzzzzz', '1;d=1.zzzzzzzzzzzzz']) {
      expect(decodeNotes(42, text).done).toEqual([]);
    }
  });
});
