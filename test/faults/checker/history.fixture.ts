import type { Handling, History, Send, Stored } from '../history.js';
import { judge } from './history.checker.js';

export const LIMITS = { unwritten: 100, recovery: 50, awakening: 50, inHand: 1 };

/** Events of key `k`, each sent, stored, and handled by `A` within its own ten milliseconds. */
export function history(count: number, changes: Partial<History> = {}): History {
  const numbers = Array.from({ length: count }, (_, index) => index);
  return {
    sends: sends(...numbers.map(() => 'acknowledged' as const)),
    stored: numbers.map(record),
    handlings: numbers.map((number) => handled(number)),
    sightings: [],
    commits: [],
    faults: [],
    ...changes,
  };
}

export function found(changes: Partial<History>): readonly string[] {
  return judge(history(3, changes), LIMITS).violations;
}

export function sends(...outcomes: Send['outcome'][]): Send[] {
  return outcomes.map((outcome, number) => ({ key: 'k', number, at: number, outcome }));
}

export function record(number: number, offset: number): Stored {
  return { key: 'k', number, partition: 0, offset };
}

export function handled(number: number, changes: Partial<Handling> = {}): Handling {
  const from = number * 10;
  return { process: 'A', key: 'k', number, attempt: 1, from, to: from + 9, ...changes };
}

export function at<Item>(items: readonly Item[], index: number): Item {
  return items[index] as Item;
}
