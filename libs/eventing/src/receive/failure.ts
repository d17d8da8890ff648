import type { DeadLetterReason } from '../dead-letters/dead-letter.js';
import { type ErrorCode, EventingError, RejectEvent, RetryEvent } from '../errors/eventing.error.js';

/** Why an event was not handled, named. */
export class Failure {
  private constructor(
    readonly reason: DeadLetterReason,
    readonly error: Error,
    /** Another attempt would end no otherwise. */
    readonly final: boolean,
    /** Milliseconds before the next attempt, where the listener asked for them. */
    readonly after?: number,
  ) {}

  /** The listener could not do it, however often it tried: `retry.exhausted` decides. What is refused or unreadable is a dead letter. */
  get exhausts(): boolean {
    return this.reason === 'failed' || this.reason === 'crashed';
  }

  /** Something is wrong with the message itself: no listener was called. */
  static of(reason: DeadLetterReason, code: ErrorCode, message: string, cause?: unknown): Failure {
    return new Failure(reason, new EventingError(code, message, { cause }), true);
  }

  /** What a listener or pipeline threw. */
  static thrown(value: unknown): Failure {
    const error =
      value instanceof Error ? value : new Error(`A ${typeof value} was thrown: ${textOf(value).slice(0, 500)}`);
    if (error instanceof RejectEvent) return new Failure('rejected', error, true);
    if (error instanceof EventingError && error.code === 'EVT_INBOX_CONFLICT')
      return new Failure('rejected', error, true);
    if (!(error instanceof RetryEvent)) return new Failure('failed', error, false);
    const after = Number.isFinite(error.after) && error.after >= 0 ? error.after : undefined;
    return new Failure('failed', error.cause instanceof Error ? error.cause : error, false, after);
  }

  static timedOut(listener: string, milliseconds: number, cause?: unknown): Failure {
    const message = `${listener} did not return within ${milliseconds} ms: heed envelope.signal, or raise its timeout.`;
    return new Failure('failed', new EventingError('EVT_LISTENER_TIMEOUT', message, { cause }), false);
  }

  static expired(event: string, at: number): Failure {
    const message = `"${event}" expired at ${new Date(at).toISOString()}: give it a longer expiresIn, or handle more at one time.`;
    return Failure.of('expired', 'EVT_EXPIRED', message);
  }

  static waiting(event: string): Failure {
    const message = `"${event}" waits behind a dead letter of its key, and was not tried: redrive the first, and those behind it follow.`;
    return Failure.of('waiting', 'EVT_DEAD_LETTER_SEQUENCE', message);
  }

  static crashed(listener: string, event: string, attempts: number): Failure {
    const message = `The process died at each of ${attempts} attempts of ${listener} at "${event}": see what it does to the process.`;
    return Failure.of('crashed', 'EVT_CRASH_LOOP', message);
  }
}

/** Whatever it is: an object without a prototype, or one whose toString() throws, has no text. */
function textOf(value: unknown): string {
  try {
    return String(value);
  } catch {
    return 'it has no text';
  }
}
