import type { OutgoingMessage } from '../provider/event-provider.js';
import { CallOrder, Slot } from './call.order.js';
import { laneOf, type Sink } from './sink.js';

/**
 * The sink between serialization and the publish buffer, ambient in `EventingContext`. Inside one, `sendEvent` resolves
 * when the message is staged; whoever opened it (an outbox transaction, an exactly-once delivery) publishes or forgets what
 * it staged. The kernel knows nothing of its transactions.
 */
export interface UnitOfWork {
  /**
   * Takes responsibility for one message of a provider. Calls come in call order per channel and key. A rejection rejects
   * the `sendEvent`.
   */
  stage(provider: string, message: OutgoingMessage): Promise<void>;
}

/** Stages the sends of one provider into a unit of work. */
export class StagingSink implements Sink {
  readonly #order = new CallOrder((slot) => this.#stage(slot));

  constructor(
    private readonly provider: string,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  reserve(channel: string, key: string | undefined, resolve: () => void, reject: (error: Error) => void): Slot {
    const slot = new Slot(laneOf(channel, key), 0, resolve, reject);
    this.#order.reserve(slot);
    return slot;
  }

  fill(slot: Slot, message: OutgoingMessage): void {
    this.#order.fill(slot, message);
  }

  cancel(slot: Slot): void {
    this.#order.cancel(slot);
  }

  #stage(slot: Slot): void {
    this.unitOfWork.stage(this.provider, slot.message as OutgoingMessage).then(slot.resolve, slot.reject);
  }
}
