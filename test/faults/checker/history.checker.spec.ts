import { describe, expect, it } from 'vitest';
import type { FaultRecord } from '../../../libs/testing/src/index.js';
import type { Handling } from '../history.js';
import { judge } from './history.checker.js';
import { at, found, handled, history, LIMITS, record, sends } from './history.fixture.js';

const KILLED: FaultRecord = { kind: 'fault', fault: 'killed', process: 'A', from: 1_000, to: 1_010 };
const STOPPED: FaultRecord = { kind: 'fault', fault: 'stopped', process: 'A', from: 1_000, to: 2_000 };
const CUT_OFF: FaultRecord = { kind: 'fault', fault: 'cut off', from: 1_000, to: 2_000 };

describe('the checker of histories', () => {
  it('finds nothing wrong with a plain history, and counts', () => {
    const { violations, figures } = judge(history(3), LIMITS);
    expect(violations).toEqual([]);
    expect(figures).toMatchObject({ acknowledged: 3, stored: 3, handled: 3, 'called again after a kill': 0 });
  });

  describe('of what is stored', () => {
    it('reports an acknowledged event that is not stored, or twice', () => {
      const { stored } = history(3);
      expect(found({ stored: stored.slice(1) })).toContain(
        'lost: k#0 of counted was sent for good, and the broker does not have it',
      );
      expect(found({ stored: [...stored, { ...at(stored, 1), offset: 3 }] })).toContain(
        'stored twice: k#1 of counted is stored 2 times',
      );
    });

    it('reports a refused event that is stored, and allows an indeterminate one', () => {
      expect(found({ sends: sends('acknowledged', 'refused', 'acknowledged') })).toEqual([
        'undone: k#1 of counted was handled by A, and its sender was told that it is not',
      ]);
      expect(found({ sends: sends('acknowledged', 'indeterminate', 'acknowledged') })).toEqual([]);
    });

    it('reports a send that got no answer', () => {
      expect(found({ sends: sends('acknowledged', 'unanswered', 'acknowledged') })).toEqual([
        'unanswered: sender was told nothing of k#1 of counted',
      ]);
    });

    it('reports two acknowledged events that are stored the other way round, and allows it of an indeterminate one', () => {
      const stored = [0, 2, 1].map(record);
      const handlings = [handled(0), handled(2, { from: 10, to: 19 }), handled(1, { from: 20, to: 29 })];
      expect(found({ stored, handlings })).toEqual(['out of order: k#1 of counted is stored after k#2']);
      const late = sends('acknowledged', 'indeterminate', 'acknowledged');
      expect(found({ stored, handlings, sends: late })).toEqual([]);
    });
  });

  describe('of what is handled', () => {
    it('reports a stored event that was not handled, or never to its end', () => {
      expect(found({ handlings: [handled(0), handled(2)] })).toEqual([
        'lost: k#1 of counted was sent for good, and Counter has not handled it',
      ]);
      const handlings = [handled(0), handled(1), handled(2, { to: undefined })];
      expect(found({ handlings })).toContain('unfinished: k#2 of counted by Counter in A, which lived on');
      const faults = [{ ...KILLED, from: 25, to: 26 }];
      expect(found({ handlings, faults })).toEqual([
        'lost: k#2 of counted was sent for good, and Counter has not handled it',
      ]);
    });

    it('reports an event that nobody stored', () => {
      expect(found({ handlings: [...history(3).handlings, handled(7)] })).toEqual([
        'invented: k#7 of counted was handled by A, and nobody sent it',
      ]);
    });

    it('reports first handlings that are out of order, and not those of repeats', () => {
      const swapped = [handled(0), handled(1, { from: 20, to: 29 }), handled(2, { from: 10, to: 19 })];
      expect(found({ handlings: swapped })).toEqual([
        'out of order: k#2 of counted was given to Counter in A before k#1',
      ]);
      const repeated = [...history(3).handlings, handled(0, { process: 'B', from: 1_100, to: 1_109 })];
      expect(found({ handlings: repeated, faults: [{ ...KILLED, from: 50 }] })).toEqual([]);
    });
  });

  describe('of what is handled again', () => {
    const again = handled(2, { process: 'B', from: 5_000, to: 5_009 });
    const twice = (first: Partial<Handling>): Handling[] => [handled(0), handled(1), handled(2, first), again];

    it('reports a repeat without a fault, and one that another process’s fault does not explain', () => {
      const handlings = twice({ from: 990, to: 999 });
      const reported = [
        expect.stringMatching(
          /^repeated: k#2 of counted was given to Counter in B, although A handled it 4001 ms before/,
        ),
      ];
      expect(found({ handlings })).toEqual(reported);
      expect(found({ handlings, faults: [{ ...KILLED, process: 'C' }] })).toEqual(reported);
      expect(found({ handlings, faults: [{ ...KILLED, from: 6_000, to: 6_010 }] })).toEqual(reported);
    });

    it.each([KILLED, STOPPED, CUT_OFF])('allows one after the first was $fault, and counts it', (fault) => {
      const { violations, figures } = judge(
        history(3, { handlings: twice({ from: 990, to: 999 }), faults: [fault] }),
        LIMITS,
      );
      expect(violations).toEqual([]);
      expect(Object.values(figures).slice(-4).sort()).toEqual([0, 0, 0, 1]);
    });

    it('reports one whose first handling was long written down when the fault came', () => {
      const handlings = twice({ from: 800, to: 899 });
      expect(found({ handlings, faults: [KILLED] })).toEqual([expect.stringContaining('no fault explains it')]);
    });

    it('reports one whose first handling began when the fault was long over', () => {
      const handlings = twice({ from: 2_051, to: 2_060 });
      expect(found({ handlings, faults: [CUT_OFF] })).toEqual([expect.stringContaining('no fault explains it')]);
    });

    it('reports a third handling if only the first is explained', () => {
      const third = handled(2, { process: 'C', from: 9_000, to: 9_009 });
      const handlings = [...twice({ from: 990, to: 999 }), third];
      expect(found({ handlings, faults: [KILLED] })).toEqual([
        expect.stringMatching(
          /^repeated: k#2 of counted was given to Counter in C, although B handled it 3991 ms before/,
        ),
      ]);
    });

    it('reports one that comes after the position was seen behind it, at any distance', () => {
      const handlings = twice({ from: 990, to: 999 });
      const seen = (offset: number) => [{ at: 4_999, partition: 0, offset }];
      expect(found({ handlings, faults: [KILLED], sightings: seen(2) })).toEqual([]);
      expect(found({ handlings, faults: [KILLED], sightings: seen(3) })).toEqual([
        'repeated: k#2 in B, 1 ms after it was known to be handled',
      ]);
    });

    it('lets a process that was stopped go on with what it held, for a moment', () => {
      const handlings = [...history(2).handlings, handled(2, { process: 'B', from: 1_500, to: 1_509 })];
      const sightings = [{ at: 1_600, partition: 0, offset: 3 }];
      const rest = { faults: [STOPPED], sightings };
      const soon = handled(2, { from: 2_010, to: 2_019 });
      expect(found({ ...rest, handlings: [...handlings, soon] })).toEqual([]);
      const late = handled(2, { from: 2_060, to: 2_069 });
      expect(found({ ...rest, handlings: [...handlings, late] })).toHaveLength(2);
    });
  });

  describe('of what a stopped process does when it goes on', () => {
    it('reports more repeats than it could have in hand', () => {
      const other = [0, 1, 2].map((number) =>
        handled(number, { process: 'B', from: 1_100 + number * 10, to: 1_109 + number * 10 }),
      );
      const again = [0, 1, 2].map((number) => handled(number, { from: 2_001 + number * 10, to: 2_009 + number * 10 }));
      expect(found({ handlings: [...other, ...again.slice(0, 1)], faults: [STOPPED] })).toEqual([]);
      expect(found({ handlings: [...other, ...again.slice(0, 2)], faults: [STOPPED] })).toEqual([
        'repeated: 2 events in A, stopped meanwhile; it could have had 1 in hand',
      ]);
    });
  });

  describe('of what is handled at one time', () => {
    it('reports two events of one key, in one process and in two', () => {
      const other = (process: string) => [handled(0), handled(1, { to: 25 }), handled(2, { process })];
      expect(found({ handlings: other('A') })).toEqual([
        'at one time: k#1 of counted by Counter in A and k#2 of counted by Counter in A',
      ]);
      expect(found({ handlings: other('B') })).toEqual([
        'at one time: k#1 of counted by Counter in A and k#2 of counted by Counter in B',
      ]);
    });

    it('reports one within a longer one that is not the last before it', () => {
      const handlings = [handled(0, { to: 28 }), handled(1, { from: 10, to: 12 }), handled(2)];
      expect(found({ handlings })).toContain(
        'at one time: k#0 of counted by Counter in A and k#2 of counted by Counter in A',
      );
    });

    it('lets a killed process’s work end with it', () => {
      const handlings = [handled(0), handled(1, { to: undefined }), handled(1, { process: 'B' }), handled(2)];
      const next = handlings.map((each) => (each.process === 'B' ? { ...each, from: 1_010, to: 1_019 } : each));
      next[3] = handled(2, { from: 1_020, to: 1_029 });
      expect(found({ handlings: next, faults: [KILLED] })).toEqual([]);
      next[2] = { ...at(next, 2), from: 1_009 };
      expect(found({ handlings: next, faults: [KILLED] })).toEqual([
        'at one time: k#1 of counted by Counter in A and k#1 of counted by Counter in B',
      ]);
    });

    it('excuses a process that was stopped meanwhile', () => {
      const handlings = [
        handled(0),
        handled(1, { from: 999, to: 2_005 }),
        handled(2, { process: 'B', from: 1_500, to: 1_509 }),
      ];
      expect(found({ handlings, faults: [STOPPED] })).toEqual([]);
    });
  });

  it('reports a position that goes back', () => {
    const commits = [
      { partition: 0, offset: 5 },
      { partition: 1, offset: 4 },
      { partition: 0, offset: 4 },
    ];
    expect(found({ commits })).toEqual(['position: partition 0 went back from 5 to 4']);
  });
});
