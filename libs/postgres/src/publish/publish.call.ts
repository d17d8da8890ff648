import type { EventingError, OutgoingMessage, PublishFailure } from 'nestjs-eventing';

/** One message on its way into the log. */
export class QueuedMessage {
  done = false;
  /** Set when it is to be sent. */
  partition = 0;

  constructor(
    readonly call: PublishCall,
    readonly index: number,
    readonly message: OutgoingMessage,
  ) {}
}

/** One call of `publish`: counts down, and resolves with what failed. */
export class PublishCall {
  readonly messages: QueuedMessage[] = [];
  private readonly failures: PublishFailure[] = [];
  private remaining: number;

  constructor(
    messages: readonly OutgoingMessage[],
    /** Milliseconds since 1970. */
    readonly deadline: number,
    private readonly resolve: (failures: readonly PublishFailure[]) => void,
  ) {
    this.remaining = messages.length;
    for (let index = 0; index < messages.length; index++)
      this.messages.push(new QueuedMessage(this, index, messages[index] as OutgoingMessage));
  }

  get open(): boolean {
    return this.remaining > 0;
  }

  stored(queued: QueuedMessage): void {
    if (queued.done) return;
    queued.done = true;
    this.finish();
  }

  failed(queued: QueuedMessage, error: EventingError, indeterminate: boolean): void {
    if (queued.done) return;
    queued.done = true;
    this.failures.push({ index: queued.index, error, indeterminate });
    this.finish();
  }

  private finish(): void {
    this.remaining--;
    if (this.remaining === 0) this.resolve(this.failures);
  }
}
