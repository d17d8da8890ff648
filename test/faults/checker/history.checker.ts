import { History as ToldHistory, judgeHistory } from '../../../libs/testing/src/index.js';
import type { History } from '../history.js';
import type { Limits } from './limits.js';
import { checkPositions } from './position.check.js';
import { checkSightings } from './sighting.check.js';
import { CHANNEL, LISTENER, toldRecords } from './told.records.js';

export interface Verdict {
  /** Each as a sentence that begins with its kind and a colon. */
  readonly violations: readonly string[];
  readonly figures: Readonly<Record<string, number>>;
}

/** Judges what all processes of a trial did: as any history, and by the positions of its group. */
export function judge(history: History, limits: Limits): Verdict {
  const told = new ToldHistory();
  for (const record of toldRecords(history)) told.add(record);
  const { inHand: _, ...reach } = limits;
  const expected = { channels: { [CHANNEL]: { listeners: { [LISTENER]: {} }, copies: 'once' } }, reach } as const;
  const { violations, figures } = judgeHistory(told, expected);
  const answered = (outcome: string): number => history.sends.filter((send) => send.outcome === outcome).length;
  return {
    violations: [
      ...violations.map(({ property, what }) => `${property}: ${what}`),
      ...checkSightings(history, limits),
      ...checkPositions(history),
    ],
    figures: {
      acknowledged: answered('acknowledged'),
      refused: answered('refused'),
      indeterminate: answered('indeterminate'),
      ...figures,
    },
  };
}
