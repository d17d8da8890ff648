import type { ListenerExpectation, ResolvedExpectations } from './history.expectations.js';
import { called, type History, type KnownEvent } from './history.js';
import type { Violation } from './violation.js';

/**
 * What was acknowledged, or committed with its transaction, is stored. Each listener of its channel handled it to the end, as anything
 * that is stored and was not undone; one that is exactly-once has left its effect. A transaction whose commit was answered has its row.
 */
export function* checkLost(history: History, { channels }: ResolvedExpectations): Iterable<Violation> {
  for (const event of history.events) {
    const channel = channels.get(event.channel);
    const fate = history.fateOfEvent(event);
    if (channel === undefined || fate === 'undone' || (fate === 'open' && event.copies === 0)) continue;
    const why = fate === 'kept' ? 'was sent for good' : 'is stored';
    if (history.hasRead('published') && event.copies === 0)
      yield { property: 'lost', what: `${called(event)} was sent for good, and the broker does not have it` };
    for (const [name, listener] of Object.entries(channel.listeners))
      if (!isHandled(history, event, name, listener))
        yield { property: 'lost', what: `${called(event)} ${why}, and ${name} has not handled it` };
  }
  if (!history.hasRead('rows')) return;
  for (const [name, { told, process }] of history.transactions)
    if (told === 'committed' && !history.hasRow(name))
      yield { property: 'lost', what: `the transaction ${name} of ${process} was committed, and its row is not there` };
}

function isHandled(history: History, event: KnownEvent, name: string, { guarantee }: ListenerExpectation): boolean {
  if (guarantee === 'exactly-once' && history.hasRead('effects')) return event.effects.has(name);
  return event.handlings.some(({ listener, to, failed }) => listener === name && to !== undefined && !failed);
}
