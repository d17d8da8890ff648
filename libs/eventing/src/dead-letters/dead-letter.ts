import type { RawHeaders } from '../provider/event-provider.js';

/** Why a message became a dead letter. Stable: shown to people, filtered by tools. */
export type DeadLetterReason =
  /** The listener threw at each attempt. */
  | 'failed'
  /** The listener, or a pipeline, threw `RejectEvent`. */
  | 'rejected'
  /** Headers or body could not be read. */
  | 'undecodable'
  /** The body was read and does not satisfy the event class. */
  | 'invalid'
  | 'unknown-event'
  | 'unknown-version'
  | 'expired'
  | 'too-large'
  /** The process died at each attempt. */
  | 'crashed'
  /** An event of its key that came before is a dead letter, and its listener has `deadLetters: 'sequenced'`. It was not tried. */
  | 'waiting';

/** A message that one subscription could not handle, as it was received, with what is known about the failure. */
export interface DeadLetter {
  /** Derived from service, subscription, channel and position: appending it twice leaves one. */
  readonly id: string;
  readonly service: string;
  /** The subscription (listener or group) that could not handle it, and the only one it is redriven to. */
  readonly listener: string;
  readonly channel: string;
  readonly reason: DeadLetterReason;
  readonly error: {
    readonly name: string;
    readonly code?: string;
    readonly message: string;
    /** At most 4 KiB. */
    readonly stack?: string;
  };
  /**
   * Its place in the row of its key, of listeners with `deadLetters: 'sequenced'`; told by the store at each look. `first`: a redrive of it
   * goes. `released`: it was sent again, and has not been handled yet. `waiting`: others come first. What is stored with any of them is put
   * in a row.
   */
  readonly sequence?: 'first' | 'released' | 'waiting';
  /** How often the listener was called. */
  readonly attempts: number;
  /** Times in milliseconds since 1970: first failure, and when it was given up. */
  readonly firstFailedAt: number;
  readonly deadAt: number;
  /** Event name, version and id, where they could be read. */
  readonly event?: { readonly name: string; readonly version: number; readonly id: string };
  readonly message: {
    readonly key: string | undefined;
    readonly headers: RawHeaders;
    /** The original bytes. */
    readonly body: Uint8Array;
    readonly time: number;
    readonly position: string;
  };
}
