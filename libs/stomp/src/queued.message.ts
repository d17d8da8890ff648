import type { OpenMessage, PublishCall } from 'nestjs-eventing';
import type { OutgoingFrame } from './message.codec.js';

/** A message from its being taken until the broker has it, or nobody waits for it any more. */
export class QueuedMessage implements OpenMessage {
  done = false;
  /** It has been written to a connection, so the broker may have it. */
  sent = false;

  constructor(
    readonly call: PublishCall<QueuedMessage>,
    readonly index: number,
    readonly frame: OutgoingFrame,
    readonly number: number,
  ) {}
}
