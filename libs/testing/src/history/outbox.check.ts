import type { ResolvedExpectations } from './history.expectations.js';
import { called, type History } from './history.js';
import type { Violation } from './violation.js';

/** What was committed is in the outbox, once; what the outbox calls sent the broker has; and what the broker has was in the outbox. */
export function* checkOutbox(history: History, { channels }: ResolvedExpectations): Iterable<Violation> {
  if (!history.hasRead('outbox')) return;
  const found = (what: string): Violation => ({ property: 'outbox', what });
  for (const event of history.events) {
    if (channels.get(event.channel)?.outbox !== true) continue;
    const { outbox, copies } = event;
    const left = outbox.find((state) => state !== 'sent');
    if (left !== undefined) yield found(`${called(event)} is left in the outbox as ${left}`);
    if (outbox.length > 1) yield found(`${called(event)} is in the outbox ${outbox.length} times`);
    if (history.hasRead('published')) {
      if (left === undefined && outbox.length > 0 && copies === 0)
        yield found(`${called(event)} counts as sent in the outbox, and the broker does not have it`);
      if (outbox.length === 0 && copies > 0) yield found(`${called(event)} was published past the outbox`);
    }
    if (outbox.length === 0 && history.fateOfEvent(event) === 'kept')
      yield found(`${called(event)} was committed without its row in the outbox`);
  }
}
