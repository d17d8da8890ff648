import { type Fault, groupBy, type Handling, type History, nameOf } from '../history.js';
import { isSleepwalk, type Limits } from './fault.reach.js';

/**
 * No two events of one key are handled at one time, in one process or in two. The exception: a process that was stopped, while it
 * had events in hand, goes on with them when it is continued, and the next owner has them by then. A killed process handles
 * nothing, so it is no exception.
 */
export function checkOverlaps({ handlings, faults }: History, limits: Limits): string[] {
  const violations: string[] = [];
  for (const ofKey of groupBy(handlings, ({ key }) => key).values()) {
    let longest: Handling | undefined;
    for (const handling of ofKey.sort((a, b) => a.from - b.from)) {
      if (isSleepwalk(handling, faults, limits) !== undefined) continue;
      if (longest !== undefined && endOf(longest, faults) > handling.from) {
        const [one, other] = [longest, handling].map((each) => `${nameOf(each)} in ${each.process}`);
        violations.push(`at one time: ${one} and ${other}`);
      }
      if (longest === undefined || endOf(handling, faults) > endOf(longest, faults)) longest = handling;
    }
  }
  return violations;
}

function endOf({ process, to }: Handling, faults: readonly Fault[]): number {
  return to ?? faults.find((fault) => fault.kind === 'killed' && fault.process === process)?.to ?? Infinity;
}
