import type { ResolvedExpectations } from './history.expectations.js';
import type { History } from './history.js';
import type { Violation } from './violation.js';

/** An effect and the record that the event was handled are both there, or neither is. */
export function* checkInbox(history: History, { listeners }: ResolvedExpectations): Iterable<Violation> {
  if (!history.hasRead('inbox') || !history.hasRead('effects')) return;
  for (const [listener, { inbox }] of listeners) {
    if (!inbox) continue;
    const entered = history.inbox.get(listener) ?? new Set();
    const done = history.effects.get(listener) ?? new Set();
    for (const message of done)
      if (!entered.has(message))
        yield { property: 'inbox', what: `${listener} took ${message} into account, and the inbox does not know it` };
    for (const message of entered)
      if (!done.has(message))
        yield {
          property: 'inbox',
          what: `the inbox says that ${listener} handled ${message}, and its effect is not there`,
        };
  }
}
