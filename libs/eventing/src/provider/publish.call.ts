import type { PublishFailure } from './event-provider.js';

/** One message of a call, until it has an answer. Providers add what their transport needs to know of it. */
export interface OpenMessage {
  /** Its place in the batch. */
  readonly index: number;
  /** It has its answer. Written by the call alone. */
  done: boolean;
}

/**
 * One call of `EventProvider.publish`, for providers that answer message by message: counts down, and resolves with what failed, in
 * the order of the batch. The first answer of a message counts.
 */
export class PublishCall<Message extends OpenMessage> {
  /** Put here by the provider, all of them before the first answer. */
  readonly messages: Message[] = [];
  readonly #failures: PublishFailure[] = [];
  #unanswered: number;

  /**
   * @param count of messages, at least one
   * @param deadline after which the provider gives up what is open, in milliseconds of whichever clock it goes by
   */
  constructor(
    count: number,
    readonly deadline: number,
    private readonly resolve: (failures: readonly PublishFailure[]) => void,
  ) {
    this.#unanswered = count;
  }

  get open(): boolean {
    return this.#unanswered > 0;
  }

  /** The broker has it. */
  stored(message: Message): void {
    if (!message.done) this.#answered(message);
  }

  failed(message: Message, error: Error, indeterminate: boolean): void {
    if (message.done) return;
    this.#failures.push({ index: message.index, error, indeterminate });
    this.#answered(message);
  }

  #answered(message: Message): void {
    message.done = true;
    this.#unanswered--;
    if (this.#unanswered > 0) return;
    this.resolve(this.#failures.length > 1 ? this.#failures.sort((a, b) => a.index - b.index) : this.#failures);
  }
}
