import { describe, expect, it } from 'vitest';
import { changed, fault, figures, found, note, order, soundHistory, twice, without } from './history.fixture.js';
import type { HistoryRecord, StartedRecord } from './history.record.js';

/** Another call of the listener of the last order. */
function again(process: string, at: number, changes: Partial<StartedRecord> = {}): HistoryRecord[] {
  const named = { channel: 'orders', event: 'k2', listener: 'Bill', process };
  return [
    { kind: 'started', ...named, key: 'k', sequence: 2, at, ...changes },
    { kind: 'ended', ...named, at: at + 9 },
  ];
}

const rolledBack = (records: readonly HistoryRecord[]): HistoryRecord[] =>
  records.filter((record) => record.kind !== 'row' || record.transaction !== 't1');

describe('the checker of histories', () => {
  it('finds nothing wrong with a sound history, and counts', () => {
    expect(found(soundHistory())).toEqual([]);
    expect(figures(soundHistory())).toMatchObject({ sent: 6, stored: 6, handled: 6, effects: 3, faults: 0 });
  });

  it('passes over what nobody read, and over channels that it was told nothing of', () => {
    const unread = soundHistory().filter(
      ({ kind }) => !['read', 'published', 'row', 'inbox', 'effect', 'outbox'].includes(kind),
    );
    expect(found(unread)).toEqual([]);
    expect(found(without('n1', 'published'), { channels: {} })).toEqual([]);
  });

  describe('of what is lost', () => {
    it('reports an event that was acknowledged, or committed, and is not stored', () => {
      expect(found(without('n1', 'published'))).toEqual([
        'lost: n1 of notes was sent for good, and the broker does not have it',
      ]);
      expect(found(without('k1', 'published'))).toContain(
        'lost: k1 of orders was sent for good, and the broker does not have it',
      );
    });

    it('reports one that was not handled, or never to its end', () => {
      const report = 'lost: n1 of notes was sent for good, and Print has not handled it';
      const unheard = soundHistory().filter(
        (record) => !('listener' in record && 'event' in record && record.event === 'n1'),
      );
      expect(found(unheard)).toEqual([report]);
      expect(found(changed('n1', 'ended', (record) => ({ ...record, kind: 'failed' }) as HistoryRecord))).toEqual([
        report,
      ]);
    });

    it('asks of what is stored that it is handled, whatever its sender knows', () => {
      const unsure = changed('n1', 'answer', (record) => ({ ...record, outcome: 'indeterminate' }) as HistoryRecord);
      const unheard = unsure.filter((record) => !('listener' in record && 'event' in record && record.event === 'n1'));
      expect(found(unheard)).toEqual(['lost: n1 of notes is stored, and Print has not handled it']);
    });

    it('asks for the effect where a listener is exactly-once', () => {
      expect(found(without('k1', 'effect'))).toContain(
        'lost: k1 of orders was sent for good, and Bill has not handled it',
      );
    });

    it('reports a transaction that was committed and left no row', () => {
      expect(found(rolledBack(soundHistory()))).toContain(
        'lost: the transaction t1 of A was committed, and its row is not there',
      );
    });

    it('asks nothing of an event whose sender does not know', () => {
      const unsure = changed('n1', 'answer', (record) => ({ ...record, outcome: 'indeterminate' }) as HistoryRecord);
      expect(
        found(
          unsure.filter(
            (record) =>
              !('event' in record) || record.event !== 'n1' || record.kind === 'send' || record.kind === 'answer',
          ),
        ),
      ).toEqual([]);
    });
  });

  describe('of what should not be there', () => {
    it('reports an event whose transaction was rolled back, or that was refused', () => {
      const regretted = rolledBack(soundHistory());
      expect(found(regretted)).toContain('undone: k1 of orders was handled by B, and its transaction was rolled back');
      const refused = changed('n1', 'answer', (record) => ({ ...record, outcome: 'refused' }) as HistoryRecord);
      expect(found(refused)).toEqual(['undone: n1 of notes was handled by B, and its sender was told that it is not']);
    });

    it('reports one that nobody sent', () => {
      expect(found(without('n1', 'send'))).toEqual(['invented: n1 of notes was handled by B, and nobody sent it']);
    });

    it('reports one that was handled before its transaction was about to commit', () => {
      const hasty = changed('k1', 'started', (record) => ({ ...record, at: 109.5 }) as HistoryRecord);
      expect(found(hasty)).toEqual([
        'early: k1 of orders was given to Bill in B 0.5 ms before its transaction was about to commit',
      ]);
    });

    it('does not mind an attempt that was rolled back before the one that counts', () => {
      const first = { kind: 'send', channel: 'orders', event: 'k1', at: 90, process: 'A', transaction: 't0b' } as const;
      const undone = { kind: 'transaction', at: 95, process: 'A', transaction: 't0b', state: 'rolled back' } as const;
      expect(found([first, undone, ...soundHistory()])).toEqual([]);
    });
  });

  describe('of what is stored twice', () => {
    it('reports a copy without a fault, and none where a fault explains it', () => {
      expect(found(twice('k1', 'published'))).toEqual([
        'stored twice: k1 of orders is stored 2 times, and no fault explains it',
      ]);
      expect(found([...twice('k1', 'published'), fault({ process: 'A', from: 115, to: 116 })])).toEqual([]);
      expect(found([...twice('k1', 'published'), fault({ process: 'A', from: 1_000, to: 1_001 })])).toHaveLength(1);
    });

    it('reports a copy under another id, and any where there are to be none', () => {
      const other = changed('k1', 'published', (record) => [record, { ...record, message: 'id-x' } as HistoryRecord]);
      expect(found([...other, fault({ from: 115, to: 116 })])).toEqual([
        'stored twice: k1 of orders is stored 2 times, under 2 ids',
      ]);
      expect(found([...twice('n1', 'published'), fault({ from: 115, to: 116 })])).toEqual([
        'stored twice: n1 of notes is stored 2 times',
      ]);
    });
  });

  it('allows as many copies as there are of what caused an event', () => {
    const caused = { notes: { listeners: {}, copies: { asOftenAs: 'orders' } }, orders: { listeners: {} } } as const;
    const copies = (orders: number, notes: number): string[] => {
      const facts = (channel: string) => ({ channel, event: 'same' });
      const sends = ['orders', 'notes'].map(
        (channel) => ({ kind: 'send', ...facts(channel), at: 0, process: 'A' }) as const,
      );
      const stored = (channel: string, count: number) =>
        Array.from({ length: count }, () => ({ kind: 'published', ...facts(channel) }) as const);
      const whatever = fault({ from: 0, to: 1 });
      const answered = sends.map((send) => ({ ...send, kind: 'answer', outcome: 'indeterminate' }) as const);
      return found([...sends, ...answered, ...stored('orders', orders), ...stored('notes', notes), whatever], {
        channels: caused,
      });
    };
    expect(copies(2, 2)).toEqual([]);
    expect(copies(1, 2)).toEqual(['stored twice: same of notes is stored 2 times, and what caused it 1 times']);
  });

  describe('of what is handled again', () => {
    it('reports a second effect of an exactly-once listener, whatever happened', () => {
      const faults = [fault({ process: 'B' })];
      expect(found([...twice('k2', 'effect'), ...faults])).toEqual([
        'effect: k2 of orders took effect 2 times by Bill',
      ]);
    });

    it('reports a call that no fault of its process explains', () => {
      const report = expect.stringMatching(
        /^repeated: k2 of orders was given to Bill in C, although B handled it 371 ms before/,
      );
      const repeated = [...soundHistory(), ...again('C', 600)];
      expect(found(repeated)).toEqual([report]);
      expect(found([...repeated, fault({ process: 'D' })])).toEqual([report]);
      expect(found([...repeated, fault({ process: 'B', from: 330, to: 331 })])).toEqual([report]);
    });

    it.each(['killed', 'stopped', 'cut off'] as const)('allows one after the first was %s, and counts it', (kind) => {
      const repeated = [
        ...soundHistory(),
        ...again('C', 600),
        fault({ fault: kind, ...(kind === 'cut off' ? {} : { process: 'B' }) }),
      ];
      expect(found(repeated)).toEqual([]);
      expect(Object.values(figures(repeated)).slice(-4).sort()).toEqual([0, 0, 0, 1]);
    });

    it('allows another attempt after one that failed', () => {
      const named = { channel: 'orders', event: 'k2', listener: 'Bill', process: 'B' };
      const failed: HistoryRecord[] = [
        { kind: 'started', ...named, key: 'k', sequence: 2, at: 210 },
        { kind: 'failed', ...named, at: 215 },
      ];
      expect(found([...failed, ...soundHistory()])).toEqual([]);
      expect(figures([...failed, ...soundHistory()])['after a failed attempt']).toBe(1);
    });
  });

  describe('of order', () => {
    it('reports two events of a key that are stored the other way round', () => {
      const records = soundHistory();
      const [first, second] = ['n0', 'n1'].map((name) =>
        records.findIndex((record) => record.kind === 'published' && record.event === name),
      ) as [number, number];
      [records[first], records[second]] = [records[second] as HistoryRecord, records[first] as HistoryRecord];
      expect(found(records)).toEqual([
        'out of order: n0 of notes is stored after n1',
        'out of order: n0 of notes was given to Print in B before n1',
      ]);
      // Where nobody was answered they may be stored in any order, and are handled in that.
      const unsure = records.filter(({ kind }) => kind !== 'answer').concat(fault({ process: 'A' }));
      expect(found(unsure)).toEqual(['out of order: n0 of notes was given to Print in B before n1']);
    });

    it('reports first calls that are the other way round, and not those of repeats', () => {
      const late = changed('n0', 'started', (record) => ({ ...record, at: 140 }) as HistoryRecord).map((record) =>
        record.kind === 'ended' && record.event === 'n0' ? { ...record, at: 150 } : record,
      );
      expect(found(late)).toEqual(['out of order: n1 of notes was given to Print in B before n0']);
      expect(found([...soundHistory(), ...again('C', 600), fault({ process: 'B' })])).toEqual([]);
    });
  });

  describe('of what is handled at one time', () => {
    it('reports two events of one key, in one process and in two', () => {
      const long = changed('n0', 'ended', (record) => ({ ...record, at: 125 }) as HistoryRecord);
      expect(found(long)).toEqual(['at one time: n0 of notes by Print in B and n1 of notes by Print in B']);
      const other = changed('n0', 'started', (record) => ({ ...record, process: 'C' }) as HistoryRecord).map(
        (record) => (record.kind === 'ended' && record.event === 'n0' ? { ...record, process: 'C', at: 125 } : record),
      );
      expect(found(other)).toEqual(['at one time: n0 of notes by Print in C and n1 of notes by Print in B']);
    });

    it('excuses a process that was stopped meanwhile, and lets a killed one’s work end with it', () => {
      const asleep = changed('n2', 'ended', (record) => ({ ...record, at: 900 }) as HistoryRecord);
      const next = note(3).map((record) =>
        'process' in record && record.kind !== 'send' && record.kind !== 'answer'
          ? { ...record, process: 'C' }
          : record,
      ) as HistoryRecord[];
      expect(found([...asleep, ...next])).toHaveLength(1);
      expect(found([...asleep, ...next, fault({ fault: 'stopped', process: 'B', from: 222, to: 880 })])).toEqual([]);
      const dead = [...without('n2', 'ended'), ...next];
      expect(found([...dead, fault({ process: 'B', from: 310, to: 315 })])).toEqual([
        'lost: n2 of notes was sent for good, and Print has not handled it',
      ]);
      expect(found([...dead, fault({ process: 'B', from: 330, to: 335 })])).toContain(
        'at one time: n2 of notes by Print in B and n3 of notes by Print in C',
      );
    });

    it('reports a call that never came back', () => {
      expect(found(without('k2', 'ended'))).toEqual(['unfinished: k2 of orders by Bill in B, which lived on']);
    });
  });

  describe('of the outbox', () => {
    it('reports a row that was sent and is not stored, and one that is left', () => {
      expect(found(without('k1', 'published'))).toContain(
        'outbox: k1 of orders counts as sent in the outbox, and the broker does not have it',
      );
      const left = changed('k1', 'outbox', (record) => ({ ...record, state: 'waiting' }) as HistoryRecord);
      expect(found(left)).toEqual(['outbox: k1 of orders is left in the outbox as waiting']);
    });

    it('reports what was published past it, and what is in it twice', () => {
      expect(found(without('k1', 'outbox'))).toEqual([
        'outbox: k1 of orders was published past the outbox',
        'outbox: k1 of orders was committed without its row in the outbox',
      ]);
      expect(found(twice('k1', 'outbox'))).toEqual(['outbox: k1 of orders is in the outbox 2 times']);
    });
  });

  describe('of the inbox', () => {
    it('reports an effect without a record, and a record without an effect', () => {
      const inbox = (record: HistoryRecord): boolean => record.kind === 'inbox' && record.message === 'id-1';
      expect(found(soundHistory().filter((record) => !inbox(record)))).toEqual([
        'inbox: Bill took id-1 into account, and the inbox does not know it',
      ]);
      expect(found(without('k1', 'effect'))).toContain(
        'inbox: the inbox says that Bill handled id-1, and its effect is not there',
      );
    });
  });

  it('reports a sender that was told nothing, unless it was killed', () => {
    const silent = without('n1', 'answer');
    expect(found(silent)).toEqual(['unanswered: A was told nothing of n1 of notes']);
    expect(found([...silent, fault({ process: 'A', from: 101, to: 102 })])).toEqual([]);
    // One that names no process is one of all.
    expect(found([...silent, fault({ from: 101, to: 102 })])).toEqual([]);
    expect(found([...silent, fault({ process: 'B', from: 101, to: 102 })])).toHaveLength(1);
  });

  it('keeps a hundred violations of a property, and counts all', () => {
    const many = Array.from({ length: 150 }, (_, number) => order(number)).flat();
    const bare = many.filter(({ kind }) => kind !== 'effect');
    const read = [{ kind: 'read', what: 'effects' } as const];
    expect(found([...bare, ...read]).filter((each) => each.startsWith('lost'))).toHaveLength(100);
  });
});
