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
    const enter = (index: number): Promise<void> => {
      const step = steps[index];
      if (step === undefined) return last();
      const turn = new Turn(step.name, () => enter(index + 1));
      let result: unknown;
      try {
        result = step.run(envelope, descriptor, turn.next);
      } catch (error) {
        return turn.fail(error);
      }
      // Most return what `next()` gave them: it ends as that ends, and no promise is made for it.
      return turn.isAll(result) ? result : turn.end(result);
    };
    return enter(0);
  };
}

/** What one step does with its `next()`. */
class Turn {
  #below: Promise<void> | undefined;
  #fault: EventingError | undefined;
  #ended = false;
  /** The step has returned, or has waited: what it leaves alone now must not count as unhandled. */
  #watched = false;

  constructor(
    private readonly step: string,
    private readonly enter: () => Promise<void>,
  ) {}

  readonly next: Next = () => {
    if (this.#below !== undefined) return this.#refuse(nextTwice(this.step));
    if (this.#ended) return this.#refuse(nextMissing(this.step));
    this.#below = this.enter();
    if (this.#watched) void handled(this.#below);
    return this.#below;
  };

  /** The step returned what `next()` gave it, and nothing was wrong. */
  isAll(result: unknown): result is Promise<void> {
    this.#watched = true;
    if (result !== this.#below || result === undefined || this.#fault !== undefined) return false;
    this.#ended = true;
    return true;
  }

  async fail(error: unknown): Promise<never> {
    this.#watched = true;
    await this.#over();
    throw error;
  }

  /** A step can neither hide that what is below failed, nor that it called `next()` twice. */
  async end(result: unknown): Promise<void> {
    if (this.#below !== undefined) void handled(this.#below);
    try {
      await result;
    } finally {
      await this.#over();
    }
    if (this.#below === undefined) throw nextMissing(this.step);
    await this.#below;
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Also a step that throws ends only with what is below it: its lane must not go on while a listener runs. */
  async #over(): Promise<void> {
    this.#ended = true;
    await this.#below?.catch(() => undefined);
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
