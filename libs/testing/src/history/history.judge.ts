import { checkAnswers } from './answer.check.js';
import { checkCopies } from './copies.check.js';
import { type HistoryExpectations, resolveExpectations, type ResolvedExpectations } from './history.expectations.js';
import type { History } from './history.js';
import { checkInbox } from './inbox.check.js';
import { checkLost } from './lost.check.js';
import { checkOrder } from './order.check.js';
import { checkOutbox } from './outbox.check.js';
import { checkOverlaps } from './overlap.check.js';
import { checkRepeats, type RepeatCounts } from './repeat.check.js';
import { checkUndone } from './undone.check.js';
import type { Property, Violation } from './violation.js';

/** Violations of one property that are kept: whoever breaks it a hundred times breaks it for one reason. */
const KEPT = 100;

export interface HistoryVerdict {
  /** At most a hundred of each property. */
  readonly violations: readonly Violation[];
  /** How many there are of each property that is broken. */
  readonly counts: ReadonlyMap<Property, number>;
  /** What was sent, stored, handled and repeated, and the faults. */
  readonly figures: Readonly<Record<string, number>>;
}

/** Judges what all processes of a run did. A property that cannot be judged, since nobody read what it takes, counts as kept. */
export function judgeHistory(history: History, expectations: HistoryExpectations): HistoryVerdict {
  const expected = resolveExpectations(expectations);
  const repeats: RepeatCounts = { killed: 0, stopped: 0, 'cut off': 0, failed: 0 };
  const violations: Violation[] = [];
  const counts = new Map<Property, number>();
  const checks = [
    checkLost,
    checkUndone,
    checkCopies,
    checkOrder,
    checkOverlaps,
    checkOutbox,
    checkInbox,
    checkAnswers,
  ];
  for (const check of [...checks, (...both: Parameters<typeof checkLost>) => checkRepeats(...both, repeats)]) {
    for (const violation of check(history, expected)) {
      const count = (counts.get(violation.property) ?? 0) + 1;
      counts.set(violation.property, count);
      if (count <= KEPT) violations.push(violation);
    }
  }
  return { violations, counts, figures: { ...figuresOf(history, expected), ...repeatFigures(repeats) } };
}

function figuresOf(history: History, { channels }: ResolvedExpectations): Record<string, number> {
  const figures = {
    sent: 0,
    'undone on purpose or by faults': 0,
    stored: 0,
    'stored again': 0,
    handled: 0,
    effects: 0,
  };
  for (const event of history.events) {
    if (!channels.has(event.channel)) continue;
    const fate = event.sends.length === 0 ? 'open' : history.fateOfEvent(event);
    if (fate === 'kept') figures.sent++;
    if (fate === 'undone') figures['undone on purpose or by faults']++;
    if (event.copies > 0) figures.stored++;
    figures['stored again'] += Math.max(0, event.copies - 1);
    figures.handled += new Set(event.handlings.map(({ listener }) => listener)).size;
    for (const count of event.effects.values()) figures.effects += count;
  }
  return { ...figures, faults: history.faults.length };
}

function repeatFigures({ killed, stopped, failed, ...rest }: RepeatCounts): Record<string, number> {
  return {
    'called again after a kill': killed,
    'after a stop': stopped,
    'after a lost connection': rest['cut off'],
    'after a failed attempt': failed,
  };
}
