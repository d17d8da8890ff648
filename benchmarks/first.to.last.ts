import { type Sample, sample } from './measure.js';
import type { Tally } from './tally.js';

/** What consuming a backlog of so many events takes, without what connecting takes. */
export async function fromFirstToLast(tally: Tally, events: number, start: () => Promise<unknown>): Promise<Sample> {
  const first = tally.reached(1);
  await start();
  await first;
  const before = tally.count;
  return sample(events - before, async () => tally.reached(events));
}
