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
 * never, and not after the step has ended. A step ends when all below it has. (After hono's `compose.ts`.)
 */
export function compose<E, D>(steps: readonly Step<E, D>[]): Composed<E, D> {
  return (envelope, descriptor, last) => {
    const enter = async (index: number): Promise<void> => {
      const step = steps[index];
      if (step === undefined) return last();
      const turn = new Turn(step.name, () => enter(index + 1));
      try {
        await step.run(envelope, descriptor, turn.next);
      } finally {
        await turn.end();
      }
      await turn.outcome();
    };
    return enter(0);
  };
}

/** What one step does with its `next()`. */
class Turn {
  #below: Promise<void> | undefined;
  #fault: EventingError | undefined;
  #ended = false;

  constructor(
    private readonly step: string,
    private readonly enter: () => Promise<void>,
  ) {}

  readonly next: Next = () => {
    if (this.#below !== undefined) return this.#refuse(nextTwice(this.step));
    if (this.#ended) return this.#refuse(nextMissing(this.step));
    // Somebody looks at it in the end; until then its failure must not count as unhandled.
    this.#below = handled(this.enter());
    return this.#below;
  };

  /** Also a step that throws ends only with what is below it: its lane must not go on while a listener runs. */
  async end(): Promise<void> {
    this.#ended = true;
    await this.#below?.catch(() => undefined);
  }

  /** A step can neither hide that what is below failed, nor that it called `next()` twice. */
  async outcome(): Promise<void> {
    if (this.#below === undefined) throw nextMissing(this.step);
    await this.#below;
    if (this.#fault !== undefined) throw this.#fault;
  }

  #refuse(fault: EventingError): Promise<void> {
    this.#fault ??= fault;
    return handled(Promise.reject(fault));
  }
}

function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

const nextTwice = (name: string): EventingError =>
  new EventingError('EVT_PIPELINE_NEXT_TWICE', `${name} called next() twice: call it once, and retry elsewhere.`);

const nextMissing = (name: string): EventingError =>
  new EventingError(
    'EVT_PIPELINE_NEXT_MISSING',
    `${name} ended without calling next(): call it and return its promise, or throw RejectEvent to refuse the event.`,
  );
