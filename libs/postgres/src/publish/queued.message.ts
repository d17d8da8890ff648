import type { OpenMessage, OutgoingMessage, PublishCall } from 'nestjs-eventing';

/** One message on its way into the log. */
export class QueuedMessage implements OpenMessage {
  done = false;
  /** Set when it is to be sent. */
  partition = 0;

  constructor(
    readonly call: PublishCall<QueuedMessage>,
    readonly index: number,
    readonly message: OutgoingMessage,
  ) {}
}
