import { couldForget, type FaultReach, sleepwalkOf } from './fault.reach.js';
import type { ResolvedExpectations } from './history.expectations.js';
import { called, groupBy, type Handling, type History } from './history.js';
import type { FaultRecord } from './history.record.js';
import type { Violation } from './violation.js';

export type RepeatCounts = Record<FaultRecord['fault'] | 'failed', number>;

/**
 * A listener is called again for an event only where the earlier call failed, or where its process was killed, stopped or cut off meanwhile, or
 * so soon after that nobody could write down that it was done. Whoever leaves in good order, or makes room for a newcomer, is no
 * excuse. Of an exactly-once listener there is one effect all the same.
 * @param counts how many calls were repeats, by what they are put down to
 */
export function* checkRepeats(
  history: History,
  { channels, reach }: ResolvedExpectations,
  counts: RepeatCounts,
): Iterable<Violation> {
  for (const event of history.events) {
    const channel = channels.get(event.channel);
    if (channel === undefined) continue;
    for (const [listener, count] of event.effects)
      if (count > 1 && channel.listeners[listener]?.guarantee === 'exactly-once')
        yield { property: 'effect', what: `${called(event)} took effect ${count} times by ${listener}` };
    if (event.handlings.length < 2) continue;
    for (const [listener, handlings] of groupBy(event.handlings, (each) => each.listener)) {
      const calls = handlings.sort((a, b) => a.from - b.from);
      for (const [index, repeat] of calls.entries()) {
        if (index === 0) continue;
        const cause = causeOf(calls.slice(0, index), repeat, history.faults, reach);
        if (cause.kind !== undefined) counts[cause.kind]++;
        else
          yield {
            property: 'repeated',
            what: `${called(event)} was given to ${listener} in ${repeat.process}, ${cause.why}`,
          };
      }
    }
  }
}

type Cause = { readonly kind: keyof RepeatCounts } | { readonly kind: undefined; readonly why: string };

function causeOf(
  earlier: readonly Handling[],
  repeat: Handling,
  faults: readonly FaultRecord[],
  reach: FaultReach,
): Cause {
  const asleep = sleepwalkOf(repeat, faults, reach);
  if (asleep !== undefined) return { kind: asleep.fault };
  let kind: keyof RepeatCounts = 'failed';
  for (const handling of earlier) {
    if (handling.failed) continue;
    const fault = faults.find((each) => each.from <= repeat.from && couldForget(each, handling, reach));
    if (fault === undefined) {
      const ago = handling.to === undefined ? 'and is not done' : `${Math.round(repeat.from - handling.to)} ms before`;
      return { kind: undefined, why: `although ${handling.process} handled it ${ago} and no fault explains it` };
    }
    kind = fault.fault;
  }
  return { kind };
}
