import { type Fault, groupBy, type Handling, type History, nameOf, type Sighting } from '../history.js';
import { couldForget, isSleepwalk, type Limits } from './fault.reach.js';

export interface Repeats {
  readonly violations: string[];
  /** How many events were handled again, by what they are put down to. */
  readonly counts: Readonly<Record<Fault['kind'], number>>;
}

/**
 * An event is handled again only where the broker did not know that it had been handled, and only because of a fault:
 *
 * - never once a bystander has seen the group's position behind it, however little time there was;
 * - only if each process that handled it before was killed, stopped or cut off while it did, or so soon after that the commit
 *   may not have been written. Whoever leaves in good order, or makes room for a newcomer, is no excuse.
 *
 * Of both, a process that was stopped is free until it has heard what it lost: it goes on with what it held, and no more.
 */
export function checkRepeats({ handlings, stored, sightings, faults }: History, limits: Limits): Repeats {
  const violations: string[] = [];
  const counts = { killed: 0, stopped: 0, 'cut off': 0 };
  const places = new Map(stored.map((record) => [nameOf(record), record]));
  const byPartition = groupBy(sightings, ({ partition }) => partition);
  const sleepwalks = new Map<Fault, number>();
  for (const [name, [first, ...repeats]] of groupBy(inOrder(handlings), nameOf)) {
    if (first === undefined) continue;
    const earlier = [first];
    const place = places.get(name);
    const written = byPartition.get(place?.partition ?? -1)?.find(({ offset }) => offset > (place?.offset ?? Infinity));
    for (const repeat of repeats) {
      const asleep = isSleepwalk(repeat, faults, limits);
      if (asleep !== undefined) sleepwalks.set(asleep, (sleepwalks.get(asleep) ?? 0) + 1);
      const cause = asleep ?? causeOf(earlier, repeat, faults, limits);
      if (typeof cause === 'string') violations.push(`repeated: ${name} in ${repeat.process}, ${cause}`);
      else counts[cause.kind]++;
      const late = lateBy(repeat, written);
      if (late !== undefined && asleep === undefined)
        violations.push(`repeated: ${name} in ${repeat.process}, ${late} ms after it was known to be handled`);
      earlier.push(repeat);
    }
  }
  for (const [{ process }, count] of sleepwalks) {
    if (count <= limits.inHand) continue;
    violations.push(
      `repeated: ${count} events in ${process}, stopped meanwhile; it could have had ${limits.inHand} in hand`,
    );
  }
  return { violations, counts };
}

/** The fault that excuses the repeat, or what is not excused. */
function causeOf(
  earlier: readonly Handling[],
  repeat: Handling,
  faults: readonly Fault[],
  limits: Limits,
): Fault | string {
  let cause: Fault | undefined;
  for (const handling of earlier) {
    cause = faults.find((fault) => fault.from <= repeat.from && couldForget(fault, handling, limits));
    if (cause === undefined) {
      const ago = handling.to === undefined ? 'and is not done' : `${Math.round(repeat.from - handling.to)} ms before`;
      return `although ${handling.process} handled it ${ago} and no fault explains it`;
    }
  }
  return cause ?? 'for no reason';
}

function lateBy(repeat: Handling, written: Sighting | undefined): number | undefined {
  return written !== undefined && repeat.from > written.at ? Math.round(repeat.from - written.at) : undefined;
}

function inOrder(handlings: readonly Handling[]): Handling[] {
  return [...handlings].sort((a, b) => a.from - b.from);
}
