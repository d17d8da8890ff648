import type { Settlement } from '../provider/event-provider.js';
import { Deque } from './deque.js';
import type { MemoryQueue } from './memory.queue.js';
import { DELIVERED, DONE, QueueDelivery } from './queue.delivery.js';
import type { QueueMember } from './queue.member.js';
import type { StoredMessage } from './stored.message.js';

const SAFE = Promise.resolve();

/**
 * One subscription's copy of one partition: what waits, what is delivered, and the one member that owns it. Within it,
 * messages are delivered in stored order, one member at a time.
 */
export class QueuePartition {
  readonly source: string;
  owner: QueueMember | undefined;
  /** Who should own it; differs from `owner` while it moves. */
  target: QueueMember | undefined;
  /** Between being revoked and being let go: nothing is delivered. */
  held = false;

  private readonly waiting = new Deque<QueueDelivery>();
  /** Delivered and not settled contiguously, in delivered order; the first of them has `firstSlot`. */
  private readonly window = new Deque<QueueDelivery>();
  private firstSlot = 0;
  /** Those of the window that were released and wait for their next turn, in order. */
  private readonly released: QueueDelivery[] = [];
  /** Changes with each loss of ownership, so that a hand-over that was overtaken lets go of nothing. */
  private epoch = 0;
  /** It stands in its owner's row of partitions that have something to deliver. */
  private ready = false;

  constructor(
    readonly queue: MemoryQueue,
    readonly index: number,
  ) {
    this.source = `${queue.channel}/${index}`;
  }

  get waitingCount(): number {
    return this.waiting.size + this.released.length;
  }

  get unsettledCount(): number {
    let count = 0;
    for (const delivery of this.window) if (delivery.state === DELIVERED) count++;
    return count;
  }

  /** Puts a message behind all others. */
  add(stored: StoredMessage, attempt: number): void {
    this.waiting.push(new QueueDelivery(stored, this, attempt));
    if (!this.ready) this.wake();
  }

  /** Tells the owner, if there is something that it may have. */
  wake(): void {
    const owner = this.owner;
    if (owner === undefined || this.ready || this.held || !this.deliverable(owner)) return;
    this.ready = true;
    owner.offer(this);
  }

  /** The next message for `owner`, now delivered. */
  take(owner: QueueMember): QueueDelivery | undefined {
    this.ready = false;
    if (this.held || !this.deliverable(owner)) return undefined;
    const delivery = this.released.shift() ?? this.admit();
    if (delivery !== undefined) delivery.state = DELIVERED;
    return delivery;
  }

  settle(delivery: QueueDelivery, settlement: Settlement): Promise<void> | void {
    // Settled already, or its ownership was lost meanwhile: then it has a new turn elsewhere.
    if (delivery.state !== DELIVERED) return settlement.kind === 'accept' ? undefined : SAFE;
    switch (settlement.kind) {
      case 'accept': {
        const { outputs } = settlement;
        const refused = outputs === undefined ? undefined : this.queue.publish(outputs, delivery.stored);
        if (refused !== undefined) return Promise.reject(refused);
        this.queue.forget(delivery.stored);
        return this.finish(delivery);
      }
      case 'release':
        this.release(delivery);
        return SAFE;
      case 'defer':
        this.queue.defer(this, delivery.stored, settlement.notBefore, settlement.attempt);
        this.finish(delivery);
        return SAFE;
      case 'reject':
        try {
          this.queue.bury(settlement.letter);
        } catch (error) {
          return Promise.reject(error);
        }
        this.queue.forget(delivery.stored);
        this.finish(delivery);
        return SAFE;
    }
  }

  /** Stops delivering. With `lost`, what was delivered goes back at once and later settlements are ignored. */
  hold(lost: boolean): number {
    if (lost) this.takeBack(false);
    this.held = true;
    return ++this.epoch;
  }

  /** Ends the `hold` that returned `epoch`: what is unsettled goes back, and the member it is meant for owns it. */
  letGo(epoch: number): void {
    if (epoch !== this.epoch) return;
    this.takeBack(false);
    this.held = false;
    this.own(this.target);
  }

  /** Its owner is gone. If it `crashed`, an attempt was spent on the oldest message that it had not settled. */
  abandon(crashed: boolean): void {
    this.epoch++;
    this.takeBack(crashed);
    this.held = false;
    this.own(undefined);
  }

  own(member: QueueMember | undefined): void {
    this.owner = member;
    this.ready = false;
    this.wake();
  }

  private deliverable(owner: QueueMember): boolean {
    return this.released.length > 0 || (this.waiting.size > 0 && this.window.size < owner.window);
  }

  private admit(): QueueDelivery | undefined {
    const delivery = this.waiting.shift();
    if (delivery === undefined) return undefined;
    delivery.slot = this.firstSlot + this.window.size;
    this.window.push(delivery);
    return delivery;
  }

  private finish(delivery: QueueDelivery): void {
    delivery.state = DONE;
    while (this.window.first()?.state === DONE) {
      this.window.shift();
      this.firstSlot++;
    }
    if (!this.ready) this.wake();
  }

  private release(delivery: QueueDelivery): void {
    const copy = delivery.again(delivery.attempt);
    this.window.set(copy.slot - this.firstSlot, copy);
    let index = this.released.length;
    while (index > 0 && (this.released[index - 1]?.slot ?? -1) > copy.slot) index--;
    this.released.splice(index, 0, copy);
    this.wake();
  }

  /** A crash is counted for the head alone, as on Kafka: what is behind it may only have waited. */
  private takeBack(crashed: boolean): void {
    for (let index = this.window.size - 1; index >= 0; index--) {
      const delivery = this.window.at(index);
      if (delivery === undefined || delivery.state === DONE) continue;
      const lost = crashed && index === 0 && delivery.state === DELIVERED;
      this.waiting.unshift(delivery.again(delivery.attempt + (lost ? 1 : 0)));
    }
    this.window.clear();
    this.released.length = 0;
  }
}
