import { sleepwalkOf } from '../../../libs/testing/src/history/fault.reach.js';
import { groupBy } from '../../../libs/testing/src/history/history.js';
import type { FaultRecord } from '../../../libs/testing/src/index.js';
import { type Handling, type History, nameOf } from '../history.js';
import type { Limits } from './limits.js';

/**
 * An event is never handled again once a bystander has seen the group's position behind it, however little time there was. A process that
 * was stopped is free until it has heard what it lost: it goes on with what it held, and no more.
 */
export function checkSightings({ handlings, stored, sightings, faults }: History, limits: Limits): string[] {
  const violations: string[] = [];
  const places = new Map(stored.map((record) => [nameOf(record), record]));
  const byPartition = groupBy(sightings, ({ partition }) => partition);
  const sleepwalks = new Map<FaultRecord, number>();
  for (const [name, calls] of groupBy(handlings, nameOf)) {
    const place = places.get(name);
    const written = byPartition.get(place?.partition ?? -1)?.find(({ offset }) => offset > (place?.offset ?? Infinity));
    for (const repeat of inOrder(calls).slice(1)) {
      const asleep = sleepwalkOf(repeat, faults, limits);
      if (asleep !== undefined) sleepwalks.set(asleep, (sleepwalks.get(asleep) ?? 0) + 1);
      else if (written !== undefined && repeat.from > written.at) {
        const late = Math.round(repeat.from - written.at);
        violations.push(`repeated: ${name} in ${repeat.process}, ${late} ms after it was known to be handled`);
      }
    }
  }
  for (const [{ process }, count] of sleepwalks) {
    if (count <= limits.inHand) continue;
    violations.push(
      `repeated: ${count} events in ${process}, stopped meanwhile; it could have had ${limits.inHand} in hand`,
    );
  }
  return violations;
}

function inOrder(handlings: readonly Handling[]): Handling[] {
  return [...handlings].sort((a, b) => a.from - b.from);
}
