import type { DeadLetterReason } from '../dead-letters/dead-letter.js';
import { type ErrorCode, EventingError, RejectEvent } from '../errors/eventing.error.js';

/** Why an event was not handled, named. */
export class Failure {
  private constructor(
    readonly reason: DeadLetterReason,
    readonly error: Error,
    /** Another attempt would end no otherwise. */
    readonly final: boolean,
  ) {}

  /** Something is wrong with the message itself: no listener was called. */
  static of(reason: DeadLetterReason, code: ErrorCode, message: string, cause?: unknown): Failure {
    return new Failure(reason, new EventingError(code, message, { cause }), true);
  }

  /** What a listener or pipeline threw. */
  static thrown(value: unknown): Failure {
    const error =
      value instanceof Error ? value : new Error(`A ${typeof value} was thrown: ${String(value).slice(0, 500)}`);
    return error instanceof RejectEvent ? new Failure('rejected', error, true) : new Failure('failed', error, false);
  }

  static timedOut(listener: string, milliseconds: number, cause?: unknown): Failure {
    const message = `${listener} did not return within ${milliseconds} ms: heed envelope.signal, or raise its timeout.`;
    return new Failure('failed', new EventingError('EVT_LISTENER_TIMEOUT', message, { cause }), false);
  }
}
