import { History } from './history.js';
import { judgeHistory } from './history.judge.js';
import type { HistoryExpectations } from './history.expectations.js';
import type { FaultRecord, HistoryRecord } from './history.record.js';

const EXPECTED: HistoryExpectations = {
  channels: {
    orders: { listeners: { Bill: { guarantee: 'exactly-once', inbox: true } }, outbox: true },
    notes: { listeners: { Print: {} }, copies: 'once' },
  },
  reach: { unwritten: 100, recovery: 50, awakening: 50 },
};

/** What was found, as `property: sentence`. */
export function found(records: readonly HistoryRecord[], expected = EXPECTED): string[] {
  const { violations } = judgeHistory(historyOf(records), expected);
  return violations.map(({ property, what }) => `${property}: ${what}`);
}

export function figures(records: readonly HistoryRecord[]): Readonly<Record<string, number>> {
  return judgeHistory(historyOf(records), EXPECTED).figures;
}

export function historyOf(records: readonly HistoryRecord[]): History {
  const history = new History();
  for (const record of records) history.add(record);
  return history;
}

/** Order `k<number>` at `number * 100`: committed with the outbox by `A`, published, handled by `B`. */
export function order(number: number): HistoryRecord[] {
  const named = { channel: 'orders', event: `k${number}` };
  const facts = { ...named, key: 'k', sequence: number, message: `id-${number}` };
  const [at, transaction, listener] = [number * 100, `t${number}`, 'Bill'];
  return [
    { kind: 'send', ...facts, at, process: 'A', transaction },
    { kind: 'transaction', at: at + 10, process: 'A', transaction, state: 'committing' },
    { kind: 'transaction', at: at + 12, process: 'A', transaction, state: 'committed' },
    { kind: 'row', transaction },
    { kind: 'outbox', ...named, message: `id-${number}`, state: 'sent' },
    { kind: 'published', ...facts },
    { kind: 'started', ...facts, at: at + 20, process: 'B', listener },
    { kind: 'ended', ...named, at: at + 29, process: 'B', listener },
    { kind: 'effect', ...named, listener, message: `id-${number}` },
    { kind: 'inbox', listener, message: `id-${number}` },
  ];
}

/** Note `n<number>`, sent without a transaction. */
export function note(number: number): HistoryRecord[] {
  const named = { channel: 'notes', event: `n${number}` };
  const facts = { ...named, key: 'n', sequence: number };
  const at = number * 100;
  return [
    { kind: 'send', ...facts, at, process: 'A' },
    { kind: 'answer', ...named, at: at + 5, process: 'A', outcome: 'acknowledged' },
    { kind: 'published', ...facts },
    { kind: 'started', ...facts, at: at + 20, process: 'B', listener: 'Print' },
    { kind: 'ended', ...named, at: at + 29, process: 'B', listener: 'Print' },
  ];
}

/** Three orders, three notes, and somebody who read all that is left. */
export function soundHistory(): HistoryRecord[] {
  const read = (['rows', 'published', 'effects', 'inbox', 'outbox'] as const).map(
    (what) => ({ kind: 'read', what }) as const,
  );
  return [...[0, 1, 2].flatMap(order), ...[0, 1, 2].flatMap(note), ...read];
}

/** The records of one event, or transaction, are changed; `undefined` takes one away. */
export function changed(
  about: string,
  kind: HistoryRecord['kind'],
  change: (record: HistoryRecord) => HistoryRecord | HistoryRecord[] | undefined,
): HistoryRecord[] {
  let count = 0;
  const records = soundHistory().flatMap((record) => {
    const names = [record].flatMap((each) => Object.values(each) as unknown[]);
    if (record.kind !== kind || !names.includes(about)) return [record];
    count++;
    return change(record) ?? [];
  });
  if (count !== 1) throw new Error(`There are ${count} records "${kind}" of ${about}`);
  return records;
}

export const without = (about: string, kind: HistoryRecord['kind']): HistoryRecord[] =>
  changed(about, kind, () => undefined);

export const twice = (about: string, kind: HistoryRecord['kind']): HistoryRecord[] =>
  changed(about, kind, (record) => [record, record]);

export function fault(fields: Partial<FaultRecord>): FaultRecord {
  return { kind: 'fault', fault: 'killed', from: 225, to: 226, ...fields };
}
