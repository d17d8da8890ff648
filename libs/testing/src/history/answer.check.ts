import type { ResolvedExpectations } from './history.expectations.js';
import { called, type History } from './history.js';
import type { Violation } from './violation.js';

/** Each sender is told something, unless its process was killed. Inside a transaction it is the transaction that counts. */
export function* checkAnswers(history: History, { channels }: ResolvedExpectations): Iterable<Violation> {
  for (const event of history.events) {
    if (!channels.has(event.channel)) continue;
    for (const { process, transaction, answer } of event.sends) {
      const killed = history.faults.some((fault) => fault.fault === 'killed' && (fault.process ?? process) === process);
      if (transaction === undefined && answer === undefined && !killed)
        yield { property: 'unanswered', what: `${process} was told nothing of ${called(event)}` };
    }
  }
}
