import { type History, nameOf } from '../history.js';
import type { Limits } from './fault.reach.js';
import { checkHandling } from './handling.check.js';
import { checkOverlaps } from './overlap.check.js';
import { checkPositions } from './position.check.js';
import { checkRepeats } from './repeat.check.js';
import { checkStorage } from './storage.check.js';

export interface Verdict {
  /** Each as a sentence that begins with its kind and a colon. */
  readonly violations: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

/** Judges what all processes of a trial did. */
export function judge(history: History, limits: Limits): Verdict {
  const repeats = checkRepeats(history, limits);
  const told = (outcome: string): number => history.sends.filter((send) => send.outcome === outcome).length;
  return {
    violations: [
      ...checkStorage(history),
      ...checkHandling(history),
      ...repeats.violations,
      ...checkOverlaps(history, limits),
      ...checkPositions(history),
    ],
    figures: {
      acknowledged: told('acknowledged'),
      refused: told('refused'),
      indeterminate: told('indeterminate'),
      stored: history.stored.length,
      handled: new Set(history.handlings.map(nameOf)).size,
      'repeated after a kill': repeats.counts.killed,
      'after a stop': repeats.counts.stopped,
      'after a lost connection': repeats.counts['cut off'],
    },
  };
}
