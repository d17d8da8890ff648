import type { Delivery, RawHeaders, Settlement } from '../provider/event-provider.js';
import type { QueuePartition } from './queue.partition.js';
import type { StoredMessage } from './stored.message.js';

export const WAITING = 0;
export const DELIVERED = 1;
export const DONE = 2;

/**
 * One copy of a message on one turn to a subscriber. A message that comes back gets a new one, so that a late settlement
 * of the old one finds it `DONE` and does nothing.
 */
export class QueueDelivery implements Delivery {
  state: typeof WAITING | typeof DELIVERED | typeof DONE = WAITING;
  /** Its place in delivered order within the partition; given at the first delivery, kept when it is released. */
  slot = 0;

  constructor(
    readonly stored: StoredMessage,
    readonly partition: QueuePartition,
    readonly attempt: number,
  ) {}

  get channel(): string {
    return this.stored.message.channel;
  }
  get key(): string | undefined {
    return this.stored.message.key;
  }
  get headers(): RawHeaders {
    return this.stored.message.headers;
  }
  get body(): Uint8Array {
    return this.stored.message.body;
  }
  get time(): number {
    return this.stored.message.time;
  }
  get source(): string {
    return this.partition.source;
  }
  get position(): string {
    return `${this.stored.partition}@${this.stored.sequence}`;
  }

  settle(settlement: Settlement): Promise<void> | void {
    return this.partition.settle(this, settlement);
  }

  /** Ends this turn; the copy that takes its place. */
  again(attempt: number): QueueDelivery {
    this.state = DONE;
    const copy = new QueueDelivery(this.stored, this.partition, attempt);
    copy.slot = this.slot;
    return copy;
  }
}
