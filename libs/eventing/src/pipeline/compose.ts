import type { Next } from '../declare/envelope-pipeline.decorator.js';
import { EventingError } from '../errors/eventing.error.js';

/** One step around the rest: a pipeline's method, with the name to blame. */
export interface Step<E, D> {
  readonly name: string;
  run(envelope: E, descriptor: D, next: Next): Promise<void>;
}

export type Composed<E, D> = (envelope: E, descriptor: D, last: () => Promise<void>) => Promise<void>;

/**
 * Folds steps, outermost first, into one function. It holds every step to its part: `next()` once, neither twice nor
 * never, and not after the step has ended. (After hono's `compose.ts`.)
 */
export function compose<E, D>(steps: readonly Step<E, D>[]): Composed<E, D> {
  return (envelope, descriptor, last) => {
    const enter = async (index: number): Promise<void> => {
      const step = steps[index];
      if (step === undefined) return last();
      let below: Promise<void> | undefined;
      await step.run(envelope, descriptor, () => {
        if (below !== undefined) return Promise.reject(nextTwice(step.name));
        below = enter(index + 1);
        return below;
      });
      if (below === undefined) throw nextMissing(step.name);
      // A step that called next() without awaiting it must not end before the rest, nor hide its failure.
      await below;
    };
    return enter(0);
  };
}

const nextTwice = (name: string): EventingError =>
  new EventingError('EVT_PIPELINE_NEXT_TWICE', `${name} called next() twice: call it once, and retry elsewhere.`);

const nextMissing = (name: string): EventingError =>
  new EventingError(
    'EVT_PIPELINE_NEXT_MISSING',
    `${name} ended without calling next(): call it, or throw RejectEvent to refuse the event.`,
  );
