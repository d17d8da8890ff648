import type { HistoryRecord } from '../../../libs/testing/src/index.js';
import { type History, nameOf, type Numbered } from '../history.js';

export const CHANNEL = 'counted';
export const LISTENER = 'Counter';

/** The trial as the checker of histories takes it, whatever the service is. */
export function* toldRecords({ sends, stored, handlings, faults }: History): Iterable<HistoryRecord> {
  const process = 'sender';
  for (const send of sends) {
    yield { kind: 'send', ...factsOf(send), at: send.at, process };
    const { outcome } = send;
    if (outcome !== 'unanswered') yield { kind: 'answer', ...factsOf(send), at: send.at, process, outcome };
  }
  for (const record of stored) yield { kind: 'published', ...factsOf(record) };
  for (const handling of handlings) {
    const call = { ...factsOf(handling), process: handling.process, listener: LISTENER };
    yield { kind: 'started', ...call, at: handling.from, attempt: handling.attempt };
    if (handling.to !== undefined) yield { kind: 'ended', ...call, at: handling.to };
  }
  yield* faults;
  yield { kind: 'read', what: 'published' };
}

function factsOf(event: Numbered) {
  return { channel: CHANNEL, event: nameOf(event), key: event.key, sequence: event.number };
}
