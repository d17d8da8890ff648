import type { OutgoingMessage } from '../provider/event-provider.js';
import type { PendingSend } from './pending.send.js';

/** Where a send goes once it has left the pipelines: the publish buffer, or a unit of work. It answers what it was given. */
export interface Sink {
  /** Takes a place in call order, for a send whose message comes later. Throws when it is full. */
  reserve(send: PendingSend): void;
  /** Gives the message for a place. Without a place (the message was at hand at once) it is the same and quicker. */
  fill(send: PendingSend, message: OutgoingMessage): void;
  /** Gives a place up; the caller answers the send. */
  cancel(send: PendingSend): void;
}
