import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import { derivedId } from '../send/event.ids.js';
import type { UnitOfWork } from '../send/unit-of-work.js';
import type { StagedMessage } from './inbox.js';

/** Whose outputs they are. */
export interface OutputOrigin {
  /** The listener's name, with its service. */
  readonly listener: string;
  /** Of the event that is handled. */
  readonly source: string;
  readonly id: string;
}

/** What one attempt at an exactly-once listener sends. It stays here until the attempt has succeeded. */
export class DeliveryOutputs implements UnitOfWork {
  readonly #staged: StagedMessage[] = [];
  #ids = 0;
  #closed = false;

  constructor(
    private readonly origin: OutputOrigin,
    /** The only provider that may be sent to: that of a transaction. `undefined`: any, by an inbox. */
    private readonly provider: string | undefined,
    /** Stages them too: the transaction of an inbox. */
    private readonly within?: UnitOfWork,
    /** What tells their ids from those of other sends of one handling. */
    private readonly salt: readonly string[] = [],
  ) {}

  /** A repeated attempt that sends the same in the same order sends it under the same ids. */
  nextId(): string {
    const { source, id, listener } = this.origin;
    return derivedId(source, id, listener, ...this.salt, this.#ids++);
  }

  async stage(provider: string, message: OutgoingMessage): Promise<void> {
    const { listener, id } = this.origin;
    if (this.#closed)
      throw new EventingError(
        'EVT_OUTPUT_LATE',
        `${listener} sent to "${message.channel}" after it had returned from the event ${id}: await what it sends, or send outside of it.`,
      );
    if (this.provider !== undefined && provider !== this.provider)
      throw new EventingError(
        'EVT_OUTPUT_PROVIDER',
        `${listener} handles exactly once in a transaction of "${this.provider}", and sent to "${message.channel}" of "${provider}": ` +
          'send to the same provider, or give EventingModule an inbox.',
      );
    // Before anything is awaited: a listener may return without waiting for its last send.
    this.#staged.push({ provider, message });
    await this.within?.stage(provider, message);
  }

  get staged(): readonly StagedMessage[] {
    return this.#staged;
  }

  /**
   * The call that sent them failed: they are forgotten, and a send of it that still waits in a pipeline comes too late. What is sent in
   * their place stays out of the transaction of an inbox, which is rolled back, and has ids of its own.
   */
  instead(): DeliveryOutputs {
    this.close();
    this.#staged.length = 0;
    return new DeliveryOutputs(this.origin, this.provider, undefined, ['instead']);
  }

  /** Whatever is sent from here on comes too late. */
  close(): void {
    this.#closed = true;
  }
}
