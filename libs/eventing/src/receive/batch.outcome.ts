import { BatchError, EventingError } from '../errors/eventing.error.js';
import type { ExactlyOnce, Handled } from './exactly-once.js';

/** One that is done, exactly once: what is left to do for it, and by whom. */
export interface HandledInBatch {
  readonly what: Handled;
  readonly by: Pick<ExactlyOnce, 'publish'>;
}

/** What became of the events of a batch: the errors of those that failed, by index; or that nobody knows whose fault it was. */
export type BatchOutcome =
  | {
      readonly kind: 'known';
      readonly failures: ReadonlyMap<number, unknown>;
      /** Of exactly-once listeners: each that did not fail. */
      readonly handled?: ReadonlyMap<number, HandledInBatch>;
    }
  | { readonly kind: 'unknown'; readonly error: unknown };

/** Reads what a batch listener threw. Of one event alone, everything is its own. */
export function batchOutcome(thrown: unknown, listener: string, size: number): BatchOutcome {
  if (!(thrown instanceof BatchError)) return unclear(thrown, size);
  const failures = new Map<number, unknown>();
  const wrong = (index: number | undefined): BatchOutcome => unclear(indexError(listener, index, size, thrown), size);
  // A listener in JavaScript may have put anything there.
  for (const failure of thrown.failures as Iterable<BatchError['failures'][number] | undefined>) {
    const index = failure?.index;
    if (failure === undefined || index === undefined || !isIndex(index, size)) return wrong(index);
    failures.set(index, failure.error);
  }
  return failures.size === 0 ? wrong(undefined) : { kind: 'known', failures };
}

const isIndex = (index: number, size: number): boolean => Number.isSafeInteger(index) && index >= 0 && index < size;

const unclear = (error: unknown, size: number): BatchOutcome =>
  size === 1 ? { kind: 'known', failures: new Map([[0, error]]) } : { kind: 'unknown', error };

function indexError(listener: string, index: number | undefined, size: number, cause: BatchError): EventingError {
  const what = index === undefined ? 'no event' : `the event at ${index}`;
  const text = `${listener} threw a BatchError that names ${what}; the batch has ${size}: name indexes from 0 to ${size - 1}.`;
  return new EventingError('EVT_BATCH_INDEX', text, { cause });
}
