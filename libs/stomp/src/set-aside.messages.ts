import { setAsideQueue } from './broker.names.js';
import type { ProviderParts } from './stomp.parts.js';

interface Unreadable {
  readonly queue: string;
  /** The broker's number of it. */
  readonly number: string;
  /** As a sentence, with what to do. */
  readonly reason: string;
}

/**
 * Messages of which no bytes can be had: above `maxFrameBytes`, or of a kind that the broker has no STOMP for. They cannot become dead
 * letters; the broker moves them, whole, to a queue of the service, as soon as they are back in theirs.
 */
export class SetAsideMessages {
  private found: Unreadable[] = [];

  constructor(private readonly parts: Pick<ProviderParts, 'context' | 'management' | 'topology'>) {}

  add(message: Unreadable): void {
    this.found.push(message);
    const { service, logger } = this.parts.context;
    logger.error(
      `EVT_UNDECODABLE: message ${message.number} of ${message.queue} is moved to the queue ${setAsideQueue(service)}, unread: ${message.reason}`,
    );
  }

  /** The message at the head of a queue, at which the broker itself fails. Never rejects: it fails again, and is found again. */
  async addFirstOf(queue: string): Promise<void> {
    const json = await this.parts.management.call(`queue.${queue}`, 'getFirstMessageAsJSON').catch(() => undefined);
    const number = typeof json === 'string' ? /"messageID":(\d{1,15})\b/.exec(json)?.[1] : undefined;
    if (number !== undefined)
      this.add({ queue, number, reason: 'the broker cannot write it as STOMP; its log says why.' });
  }

  /** Nothing consumes from their queues meanwhile. Rejects where one could not be moved. */
  async move(): Promise<void> {
    if (this.found.length === 0) return;
    const { context, management, topology } = this.parts;
    const name = setAsideQueue(context.service);
    await topology.queue({ name, address: name, routing: 'ANYCAST', durable: true, exclusive: false });
    while (this.found[0] !== undefined) {
      const { queue, number } = this.found[0];
      await management.call(`queue.${queue}`, 'moveMessage', Number(number), name);
      this.found.shift();
    }
  }
}
