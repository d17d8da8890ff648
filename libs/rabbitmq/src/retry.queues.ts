import { asBuffer } from './message.codec.js';
import type { PublishQueue } from './publish.queue.js';
import type { RabbitDelivery } from './rabbit.delivery.js';
import type { RabbitLink } from './rabbit.link.js';
import { serviceNames } from './rabbit.names.js';
import { delayFor, delayName, ensureDelay } from './retry.delays.js';

/** Deferred messages wait in queues of the service, one for each length of delay, and leave them for the one queue they came from. */
export class RetryQueues {
  private readonly exchange: string;
  private readonly made = new Map<number, Promise<void>>();

  constructor(
    private readonly service: string,
    private readonly mayCreate: boolean,
    private readonly link: RabbitLink,
    private readonly publisher: PublishQueue,
    private readonly now: () => number,
  ) {
    this.exchange = serviceNames(service).retry;
  }

  /** Resolves when it is safe there. @param target of the subscription, which alone gets it back */
  async defer(delivery: RabbitDelivery, target: string, notBefore: number, attempt: number): Promise<void> {
    const { most, wait } = delayFor(notBefore - this.now());
    await this.ensure(most);
    const { facts, key, headers, time, body } = delivery;
    try {
      await this.publisher.publishOne({
        exchange: this.exchange,
        routingKey: `${delayName(most)}.${target}`,
        body: asBuffer(body),
        sent: { time: Math.max(0, Math.floor(time)), key, headers, ref: facts.ref ?? foreignRef(time, delivery.position), attempt, notBefore, id: idOf(delivery) }, // prettier-ignore
        persistent: true,
        mandatory: true,
        expiration: wait,
        channel: delivery.channel,
      });
    } catch (error) {
      // Somebody may have deleted the queue: it is looked for, and made again.
      this.made.delete(most);
      throw error;
    }
  }

  /** What is sent to one subscription alone. */
  route(target: string): { readonly exchange: string; readonly routingKey: string } {
    return { exchange: this.exchange, routingKey: `now.${target}` };
  }

  private ensure(most: number): Promise<void> {
    if (!this.mayCreate) return Promise.resolve();
    let making = this.made.get(most);
    if (making === undefined) {
      making = this.link.withChannel((channel) => ensureDelay(channel, this.service, most));
      this.made.set(most, making);
      making.catch(() => this.made.delete(most));
    }
    return making;
  }
}

/** What was foreign has a name of ours from now on. */
function foreignRef(time: number, position: string): string {
  return `${Math.max(0, Math.floor(time)).toString(36)}-${position.replaceAll(/[^0-9A-Za-z_-]/g, '').slice(0, 40)}`;
}

function idOf({ message }: RabbitDelivery): string | undefined {
  const messageId: unknown = message.properties.messageId;
  return typeof messageId === 'string' ? messageId : undefined;
}
