import { Injectable } from '@nestjs/common';
import type { Envelope } from '../envelope/envelope.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import { metadata } from './metadata.js';

/** What becomes of an event whose handling failed. Made by `Decide`. */
export type EventDecision =
  | { readonly kind: 'accept' }
  | { readonly kind: 'retry'; readonly after: number }
  | { readonly kind: 'reject'; readonly reason: string | undefined };

/** The words of an exception handler. */
export const Decide = {
  /** The event is done all the same: nothing is retried, nothing becomes a dead letter. */
  accept: (): EventDecision => ({ kind: 'accept' }),
  /** The next attempt comes after this many milliseconds instead of the listener's own delay; attempts are counted as ever. */
  retryAfter: (milliseconds: number): EventDecision => ({ kind: 'retry', after: milliseconds }),
  /** A dead letter at once. @param reason @default the message of the error */
  reject: (reason?: string): EventDecision => ({ kind: 'reject', reason }),
};

export interface EventExceptionContext {
  readonly envelope: Envelope;
  readonly listener: ListenerDescriptor;
}

/** Any class of errors; a constructor of any shape. */
export type ErrorClass<E extends Error = Error> = abstract new (...args: never[]) => E;

/** A provider that decides what becomes of events that failed with its errors, whatever listener they failed in. */
export interface EventExceptionHandler<E extends Error = Error> {
  /** Nothing returned: the listener's retry options decide, as without a handler. So they do where it throws. */
  handle(
    error: E,
    context: EventExceptionContext,
  ): EventDecision | undefined | void | Promise<EventDecision | undefined | void>;
}

/**
 * Marks a class with `handle(error, context)` as the handler of these errors; without any, of all that have no handler of their
 * own. The handler of the most specific class of an error is asked, and no other. One for each class of errors.
 */
export function EventExceptionHandler(...errors: ErrorClass[]): ClassDecorator {
  return (target) => {
    metadata.setExceptionHandler(target, errors.length === 0 ? [Error] : errors);
    if (!metadata.isInjectable(target)) Injectable()(target);
  };
}
