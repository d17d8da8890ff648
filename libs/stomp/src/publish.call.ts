import type { EventingError, PublishFailure } from 'nestjs-eventing';
import type { OutgoingFrame } from './message.codec.js';

/** A message from its being taken until the broker has it, or nobody waits for it any more. */
export class QueuedMessage {
  done = false;
  /** It has been written to a connection, so the broker may have it. */
  sent = false;

  constructor(
    readonly call: PublishCall,
    readonly index: number,
    readonly frame: OutgoingFrame,
    readonly number: number,
  ) {}
}

/** One call of `publish`: counts down, and resolves with what failed. */
export class PublishCall {
  readonly messages: QueuedMessage[] = [];
  private readonly failures: PublishFailure[] = [];
  private remaining: number;

  constructor(
    count: number,
    /** Milliseconds since 1970. */
    readonly deadline: number,
    private readonly resolve: (failures: readonly PublishFailure[]) => void,
  ) {
    this.remaining = count;
  }

  get open(): boolean {
    return this.remaining > 0;
  }

  stored(message: QueuedMessage): void {
    if (message.done) return;
    message.done = true;
    this.finish();
  }

  failed(message: QueuedMessage, error: EventingError, indeterminate: boolean): void {
    if (message.done) return;
    message.done = true;
    this.failures.push({ index: message.index, error, indeterminate });
    this.finish();
  }

  private finish(): void {
    this.remaining--;
    if (this.remaining === 0) this.resolve(this.failures);
  }
}
