import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type { Envelope } from '../envelope/envelope.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';

/** Told once what became of a send: nothing, or what it was rejected with. */
export type SendOutcome = (error?: unknown) => void;

/**
 * Watches what no pipeline sees: the end of a send, and the dead letters. Provide a subclass and it is found. What it does is done in
 * the way of each event, so it must be quick; what it throws fails nothing, and is logged. Where there is none nothing is paid.
 */
export abstract class EventingObserver {
  /** A send begins, in the caller's context and before any pipeline; headers may be set still. */
  sending(_envelope: Envelope, _event: EventDescriptor): SendOutcome | undefined {
    return undefined;
  }

  /** An event of a listener here is on its way to the dead letters. It is told again where the store did not take it. */
  deadLettered(_letter: DeadLetter): void {
    return;
  }
}

/** Several as one; none as `undefined`. */
export function foldObservers(
  observers: readonly EventingObserver[],
  warn: (text: string) => void,
): EventingObserver | undefined {
  if (observers.length === 0) return undefined;
  const safely = <T>(observer: EventingObserver, call: () => T): T | undefined => {
    try {
      return call();
    } catch (error) {
      warn(`${observer.constructor.name} failed: ${error instanceof Error ? error.message : String(error)}`);
      return undefined;
    }
  };
  return {
    sending(envelope, event) {
      const ends: (readonly [EventingObserver, SendOutcome])[] = [];
      for (const observer of observers) {
        const end = safely(observer, () => observer.sending(envelope, event));
        if (end !== undefined) ends.push([observer, end]);
      }
      if (ends.length === 0) return undefined;
      return (error) => {
        for (const [observer, end] of ends) safely(observer, () => end(error));
      };
    },
    deadLettered(letter) {
      for (const observer of observers) safely(observer, () => observer.deadLettered(letter));
    },
  };
}
