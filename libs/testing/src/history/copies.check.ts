import type { ResolvedExpectations } from './history.expectations.js';
import { called, type History, type KnownEvent } from './history.js';
import type { FaultRecord } from './history.record.js';
import type { FaultReach } from './fault.reach.js';
import type { Violation } from './violation.js';

/**
 * The broker has each event once. Where that is allowed it may have it again: because a fault came between its send and its handling, or
 * because what caused it is there again; and then under the one id by which an inbox knows it for a copy.
 */
export function* checkCopies(history: History, { channels, reach }: ResolvedExpectations): Iterable<Violation> {
  for (const event of history.events) {
    const { copies, messages } = event;
    const channel = channels.get(event.channel);
    if (channel === undefined || copies < 2) continue;
    const what = `${called(event)} is stored ${copies} times`;
    if (messages.size > 1) yield { property: 'stored twice', what: `${what}, under ${messages.size} ids` };
    else if (channel.copies === 'once') yield { property: 'stored twice', what };
    else if (typeof channel.copies === 'object') {
      const { asOftenAs: cause } = channel.copies;
      const allowed = history.find({ channel: cause, event: event.event })?.copies ?? 0;
      if (copies > allowed) yield { property: 'stored twice', what: `${what}, and what caused it ${allowed} times` };
    } else if (!history.faults.some((fault) => isMeanwhile(fault, event, reach)))
      yield { property: 'stored twice', what: `${what}, and no fault explains it` };
  }
}

function isMeanwhile(fault: FaultRecord, { sends, handlings }: KnownEvent, reach: FaultReach): boolean {
  const sent = Math.min(...sends.map(({ at }) => at));
  const handled = Math.max(...handlings.map(({ from }) => from), sent);
  return fault.to + reach.recovery >= sent && fault.from <= handled + reach.unwritten;
}
