import type { ResolvedExpectations } from './history.expectations.js';
import { called, groupBy, type Handling, type History, type KnownEvent } from './history.js';
import type { Violation } from './violation.js';

/**
 * A key's events are stored in their order, judged on first copies; one whose sender did not get an answer may come late. Each
 * listener is given them in the order in which they are stored (in their own, where nobody read that), judged on the first call for
 * each: what a crash repeats comes again after later ones, and that is allowed.
 */
export function* checkOrder(history: History, { channels }: ResolvedExpectations): Iterable<Violation> {
  const isJudged = (event: KnownEvent): boolean => event.key !== undefined && channels.has(event.channel);
  const isKept = (event: KnownEvent): boolean => isJudged(event) && history.fateOfEvent(event) === 'kept';
  const stored = groupBy(history.published.filter(isJudged), laneOf);
  for (const lane of stored.values()) yield* checkStored(lane.filter(isKept));
  const lanes = history.hasRead('published') ? stored : groupBy([...history.events].filter(isKept), laneOf);
  for (const lane of lanes.values()) yield* checkCalls(history.hasRead('published') ? lane : inSequence(lane));
}

function* checkStored(lane: readonly KnownEvent[]): Iterable<Violation> {
  let last: KnownEvent | undefined;
  for (const event of lane) {
    if (event.sequence === undefined) continue;
    if (last?.sequence !== undefined && last.sequence > event.sequence)
      yield { property: 'out of order', what: `${called(event)} is stored after ${last.event}` };
    else last = event;
  }
}

function* checkCalls(lane: readonly KnownEvent[]): Iterable<Violation> {
  const last = new Map<string, { readonly event: KnownEvent; readonly call: Handling }>();
  for (const event of lane) {
    for (const [listener, call] of firstCalls(event)) {
      const before = last.get(listener);
      if (before !== undefined && call.from < before.call.from)
        yield {
          property: 'out of order',
          what: `${called(event)} was given to ${listener} in ${call.process} before ${before.event.event}`,
        };
      else last.set(listener, { event, call });
    }
  }
}

function inSequence(lane: readonly KnownEvent[]): KnownEvent[] {
  const placed = lane.filter(({ sequence }) => sequence !== undefined);
  return placed.sort((a, b) => (a.sequence ?? 0) - (b.sequence ?? 0));
}

function firstCalls({ handlings }: KnownEvent): ReadonlyMap<string, Handling> {
  const first = new Map<string, Handling>();
  for (const call of handlings) {
    const before = first.get(call.listener);
    if (before === undefined || call.from < before.from) first.set(call.listener, call);
  }
  return first;
}

function laneOf({ channel, key }: KnownEvent): string {
  return `${channel}\n${key}`;
}
