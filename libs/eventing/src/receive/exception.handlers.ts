import type {
  ErrorClass,
  EventDecision,
  EventExceptionContext,
  EventExceptionHandler,
} from '../declare/event-exception-handler.decorator.js';
import { EventingError, RejectEvent, RetryEvent } from '../errors/eventing.error.js';
import type { ProviderLogger } from '../provider/event-provider.js';
import { Failure } from './failure.js';

/** A handler as it was found. */
export interface FoundExceptionHandler {
  /** For messages: its class. */
  readonly label: string;
  readonly errors: readonly ErrorClass[];
  readonly handler: EventExceptionHandler;
}

/** The exception handlers of an application: the one of the most specific class of an error decides. */
export class ExceptionHandlers {
  readonly #byClass = new Map<unknown, FoundExceptionHandler>();

  /** Problems are collected, not thrown: EVT_DUPLICATE_HANDLER. */
  constructor(
    found: readonly FoundExceptionHandler[],
    private readonly logger: ProviderLogger,
    problems: EventingError[],
  ) {
    for (const candidate of found)
      for (const type of candidate.errors) {
        const first = this.#byClass.get(type);
        if (first === undefined) this.#byClass.set(type, candidate);
        else {
          const text = `${first.label} and ${candidate.label} both handle ${type.name}: leave it to one of them.`;
          problems.push(new EventingError('EVT_DUPLICATE_HANDLER', text));
        }
      }
  }

  get size(): number {
    return this.#byClass.size;
  }

  /** Resolves where the event is to count as handled; rejects with what is to become of it, or with the error as it was. */
  async judge(thrown: unknown, context: EventExceptionContext): Promise<void> {
    const { error } = Failure.thrown(thrown);
    const found = this.#find(error);
    if (found === undefined) throw thrown;
    let decision: EventDecision | undefined | void;
    try {
      decision = await found.handler.handle(error, context);
    } catch (fault) {
      const why = fault instanceof Error ? fault.message : String(fault);
      this.logger.error(`${found.label} failed at ${error.name} of ${context.listener.label}: ${why}`);
      throw thrown;
    }
    switch (decision?.kind) {
      case 'accept':
        return;
      case 'retry':
        throw new RetryEvent(decision.after, { cause: error });
      case 'reject':
        throw new RejectEvent(decision.reason ?? error.message, { cause: error });
      case undefined:
        throw thrown;
    }
  }

  #find(error: Error): FoundExceptionHandler | undefined {
    for (let type: unknown = error.constructor; typeof type === 'function'; type = Object.getPrototypeOf(type)) {
      const found = this.#byClass.get(type);
      if (found !== undefined) return found;
    }
    return undefined;
  }
}
