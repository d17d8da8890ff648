import type { OpenMessage, PublishCall } from 'nestjs-eventing';

/** One message until it has an answer. */
export class QueuedMessage implements OpenMessage {
  done = false;
  /** It was sent, and nothing was heard of it when its link ended. */
  mayBeStored = false;
  sending = false;

  constructor(
    readonly call: PublishCall<QueuedMessage>,
    readonly index: number,
    readonly bytes: Buffer,
  ) {}
}
