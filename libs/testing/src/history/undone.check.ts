import type { ResolvedExpectations } from './history.expectations.js';
import { called, type History, type KnownEvent } from './history.js';
import type { Violation } from './violation.js';

/**
 * Nothing is handled or stored that was rolled back or refused, or that nobody sent; and nothing is handled before its transaction was
 * about to commit.
 */
export function* checkUndone(history: History, { channels }: ResolvedExpectations): Iterable<Violation> {
  for (const event of history.events) {
    const seen = whereSeen(event);
    if (!channels.has(event.channel) || seen === undefined) continue;
    if (event.sends.length === 0) {
      yield { property: 'invented', what: `${called(event)} was ${seen}, and nobody sent it` };
      continue;
    }
    if (history.fateOfEvent(event) === 'undone') {
      const rolledBack = event.sends.some(({ transaction }) => transaction !== undefined);
      const why = rolledBack ? 'its transaction was rolled back' : 'its sender was told that it is not';
      yield { property: 'undone', what: `${called(event)} was ${seen}, and ${why}` };
      continue;
    }
    const committing = commitOf(history, event);
    for (const { from, listener, process } of event.handlings)
      if (committing !== undefined && from < committing)
        yield {
          property: 'early',
          what: `${called(event)} was given to ${listener} in ${process} ${(committing - from).toFixed(1)} ms before its transaction was about to commit`,
        };
  }
}

function whereSeen({ handlings, copies, effects, outbox }: KnownEvent): string | undefined {
  if (handlings.length > 0) return `handled by ${handlings[0]?.process}`;
  if (copies > 0) return 'published';
  if (effects.size > 0) return 'taken into account';
  return outbox.length > 0 ? 'in the outbox' : undefined;
}

/** When the first of the transactions that it was kept by was about to commit; `undefined` where nobody noted it. */
function commitOf(history: History, event: KnownEvent): number | undefined {
  const times = event.sends
    .filter((sending) => sending.transaction !== undefined && history.fateOf(sending) !== 'undone')
    .map(({ transaction = '' }) => history.transaction(transaction)?.committing ?? -Infinity);
  return times.length === 0 || event.sends.some(({ transaction }) => transaction === undefined)
    ? undefined
    : Math.min(...times);
}
