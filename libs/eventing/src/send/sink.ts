import type { OutgoingMessage } from '../provider/event-provider.js';
import type { Slot } from './call.order.js';

/** Where a send goes once it has left the pipelines: the publish buffer, or a unit of work. */
export interface Sink {
  /** Takes a place in call order. One of `resolve` and `reject` is called later, unless `cancel` is. Throws when it is full. */
  reserve(channel: string, key: string | undefined, resolve: () => void, reject: (error: Error) => void): Slot;
  /** Gives the message for a place. */
  fill(slot: Slot, message: OutgoingMessage): void;
  /** Gives a place up; the caller tells the sender. */
  cancel(slot: Slot): void;
}

/** The lane of a channel and key. */
export function laneOf(channel: string, key: string | undefined): string | undefined {
  return key === undefined ? undefined : `${channel}\n${key}`;
}
