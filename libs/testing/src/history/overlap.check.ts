import { type FaultReach, killOf, sleepwalkOf } from './fault.reach.js';
import type { ResolvedExpectations } from './history.expectations.js';
import { called, type Handling, type History, type KnownEvent } from './history.js';
import type { FaultRecord } from './history.record.js';
import type { Violation } from './violation.js';

interface Call extends Handling {
  readonly event: KnownEvent;
}

/**
 * No two events of one key are handled by one listener at one time, in one process or in two. The exception: a process that was stopped, while
 * it had events in hand, goes on with them when it is continued, and the next owner has them by then. A killed process handles nothing, so
 * it is no exception. A call that never came back is a fault of its own, unless its process was killed.
 */
export function* checkOverlaps(history: History, { channels, reach }: ResolvedExpectations): Iterable<Violation> {
  const { faults } = history;
  const lanes = new Map<string, Call[]>();
  for (const event of history.events) {
    if (!channels.has(event.channel)) continue;
    for (const handling of event.handlings) {
      if (handling.to === undefined && killOf(handling, faults) === undefined)
        yield { property: 'unfinished', what: `${inCall({ ...handling, event })}, which lived on` };
      if (event.key === undefined) continue;
      const lane = `${event.channel}\n${handling.listener}\n${event.key}`;
      const calls = lanes.get(lane);
      if (calls === undefined) lanes.set(lane, [{ ...handling, event }]);
      else calls.push({ ...handling, event });
    }
  }
  for (const calls of lanes.values()) yield* checkLane(calls, faults, reach);
}

function* checkLane(calls: Call[], faults: readonly FaultRecord[], reach: FaultReach): Iterable<Violation> {
  let longest: Call | undefined;
  for (const call of calls.sort((a, b) => a.from - b.from)) {
    if (sleepwalkOf(call, faults, reach) !== undefined) continue;
    if (longest !== undefined && endOf(longest, faults) > call.from)
      yield { property: 'at one time', what: `${inCall(longest)} and ${inCall(call)}` };
    if (longest === undefined || endOf(call, faults) > endOf(longest, faults)) longest = call;
  }
}

function endOf(call: Call, faults: readonly FaultRecord[]): number {
  return call.to ?? killOf(call, faults)?.to ?? Infinity;
}

function inCall({ event, listener, process }: Call): string {
  return `${called(event)} by ${listener} in ${process}`;
}
