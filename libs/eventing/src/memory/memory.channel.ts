import type { OutgoingMessage } from '../provider/event-provider.js';
import type { BrokerParts } from './broker.parts.js';
import { Deque } from './deque.js';
import { hashKey } from './key.hash.js';
import { MemoryQueue, type QueueIdentity } from './memory.queue.js';
import { StoredMessage } from './stored.message.js';

/** An address: gives each message its place, keeps the latest for late subscriptions, and hands a copy to each queue. */
export class MemoryChannel {
  readonly queues: MemoryQueue[] = [];
  /** Those of them that get what is sent now; a replay does not. */
  readonly receivers: MemoryQueue[] = [];
  private readonly log = new Deque<StoredMessage>();
  private logBytes = 0;
  /** By partition: the sequence of the next message, and of the oldest that the log can still have. */
  private readonly next: number[];
  private readonly oldest: number[];
  private turn = 0;

  constructor(
    readonly name: string,
    private readonly parts: BrokerParts,
  ) {
    this.next = new Array<number>(parts.options.partitions).fill(0);
    this.oldest = [...this.next];
  }

  /** Every queue of one subscription: one; or one an instance, where it is per process. */
  queuesOf(service: string, subscription: string): MemoryQueue[] {
    return this.queues.filter(({ identity }) => identity.service === service && identity.subscription === subscription);
  }

  find(name: string): MemoryQueue | undefined {
    return this.queues.find((queue) => queue.identity.name === name);
  }

  /** A new queue with those of the kept messages that `wanted` picks; and no others, if it is to `end`. */
  create(identity: QueueIdentity, wanted: (stored: StoredMessage) => boolean, end: boolean): MemoryQueue {
    const places = end ? [this.queues] : [this.queues, this.receivers];
    const queue = new MemoryQueue(identity, this.parts, () => {
      for (const place of places) place.splice(place.indexOf(queue), 1);
    });
    for (const stored of this.log) if (wanted(stored)) queue.add(stored);
    for (const place of places) place.push(queue);
    return queue;
  }

  /** Gives a message its place and `copies` of it to each of `queues`; they have room. */
  store(message: OutgoingMessage, now: number, queues: readonly MemoryQueue[], copies: number): void {
    const partition = this.partitionOf(message.key);
    const sequence = this.next[partition] ?? 0;
    this.next[partition] = sequence + 1;
    const stored = new StoredMessage(message, partition, sequence, now);
    // What was sent to one subscription is nobody else's, later ones included.
    if (message.to === undefined) this.keep(stored);
    for (const queue of queues) {
      for (let copy = 0; copy < copies; copy++) queue.add(stored);
    }
  }

  /** Sequences at which a subscription may begin: from the oldest kept to the one that comes next. */
  bounds(partition: number): { readonly oldest: number; readonly next: number } | undefined {
    const [oldest, next] = [this.oldest[partition], this.next[partition]];
    return oldest === undefined || next === undefined ? undefined : { oldest, next };
  }

  private partitionOf(key: string | undefined): number {
    const count = this.next.length;
    if (key !== undefined) return hashKey(key) % count;
    this.turn = (this.turn + 1) % count;
    return this.turn;
  }

  private keep(stored: StoredMessage): void {
    const { retain, retainBytes } = this.parts.options;
    this.log.push(stored);
    this.logBytes += stored.message.body.length;
    while (this.log.size > retain || this.logBytes > retainBytes) {
      const dropped = this.log.shift();
      if (dropped === undefined) break;
      this.logBytes -= dropped.message.body.length;
      this.oldest[dropped.partition] = dropped.sequence + 1;
    }
  }
}
