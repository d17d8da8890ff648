import type { OutgoingMessage } from '../provider/event-provider.js';
import { CallOrder } from './call.order.js';
import type { PendingSend } from './pending.send.js';
import type { Sink } from './sink.js';

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
  /** The id of what is sent next inside, unless its sender names one; asked in call order. @default a random UUID */
  nextId?(): string;
}

/** Stages the sends of one provider into a unit of work. */
export class StagingSink implements Sink {
  readonly #order = new CallOrder((send) => this.#stage(send));

  constructor(
    private readonly provider: string,
    private readonly unitOfWork: UnitOfWork,
  ) {}

  reserve(send: PendingSend): void {
    this.#order.reserve(send);
  }

  fill(send: PendingSend, message: OutgoingMessage): void {
    send.message = message;
    this.#order.fill(send);
  }

  cancel(send: PendingSend): void {
    this.#order.cancel(send);
  }

  #stage(send: PendingSend): void {
    // An async call, so that a stage() that throws fails its own send and no other of the lane.
    const stage = async (): Promise<void> => this.unitOfWork.stage(this.provider, send.message as OutgoingMessage);
    stage().then(() => send.succeed(), send.reject);
  }
}
