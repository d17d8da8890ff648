import type { Clock, Settlement, Subscriber, Timer } from 'nestjs-eventing';
import type { AmqpConnection } from './amqp.connection.js';
import { AmqpDelivery, type DeliveryOwner } from './amqp.delivery.js';
import { decodeMessage, type ReceivedMessage } from './message.decoder.js';
import { encodeDeferred } from './message.encoder.js';
import type { PublishQueue } from './publish.queue.js';
import { OUTCOME, RawReceiver, type Transfer } from './raw.receiver.js';
import { SettlementBatch } from './settlement.batch.js';

/** Deaths after which the messages of a queue are tried one at a time, so that the right one is blamed. */
const SUSPICIOUS = 2;

export interface QueueLinkPlan {
  readonly channel: string;
  readonly queue: string;
  /** Of the queue, for links. */
  readonly address: string;
  readonly window: number;
  readonly settleInterval: number;
  readonly clock: Clock;
}

export interface QueueLinkParts {
  readonly publisher: PublishQueue;
  appendLetter(settlement: Extract<Settlement, { kind: 'reject' }>): Promise<void>;
  /** Attempts of messages that this process had when its last connection ended: that was nobody's death. */
  readonly remembered: Map<string, number>;
}

/**
 * One link to one queue, until it ends: what is delivered through it can only be settled through it.
 *
 * The window is the credit: what the broker may still send, and what is here and not settled, are never more.
 */
export class QueueLink implements DeliveryOwner {
  private receiver: RawReceiver | undefined;
  private readonly open = new Set<AmqpDelivery>();
  private readonly held: AmqpDelivery[] = [];
  private readonly accepted = new SettlementBatch();
  private cause: Error | undefined;
  private credit = 0;
  private paused: boolean;
  private over = false;
  private flushing = false;
  private timer: Timer | undefined;
  /** The last message that came had been delivered before. */
  private inRun = false;
  /** One at a time. Also until the first has come: it tells how to go on. */
  private probing = true;

  constructor(
    private readonly plan: QueueLinkPlan,
    private readonly parts: QueueLinkParts,
    private readonly subscriber: Subscriber,
    paused: boolean,
    private readonly ended: (cause: Error) => void,
  ) {
    this.paused = paused;
  }

  get channel(): string {
    return this.plan.channel;
  }

  get source(): string {
    return this.plan.queue;
  }

  /** Delivered, and not settled as far as the broker knows. */
  get unsettled(): number {
    return this.open.size + this.accepted.size;
  }

  readonly now = (): number => this.plan.clock.now();

  /** Rejects where the broker does not give the link. Nothing comes before `begin()`. */
  async attach(connection: AmqpConnection): Promise<void> {
    const { address } = this.plan;
    this.receiver = await RawReceiver.open(
      connection,
      { address },
      {
        transfer: (transfer) => this.take(transfer),
        ended: (cause) => {
          this.cause = cause;
          this.end();
          this.ended(cause);
        },
      },
    );
    if (this.over) await this.receiver.close();
  }

  /** Throws what ended it meanwhile: the broker opens a link also where it is about to refuse it. */
  begin(): void {
    if (this.cause !== undefined) throw this.cause;
    this.replenish();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (!this.paused || this.over) return;
    this.paused = false;
    while (!this.paused && this.held.length > 0) this.subscriber.deliver(this.held.shift() as AmqpDelivery);
    if (!this.paused) this.replenish();
  }

  /** Writes down what was settled and gives the rest back. */
  async close(): Promise<void> {
    this.flush();
    this.end();
    await this.receiver?.close();
    this.ended(new Error('the link was closed'));
  }

  accept(delivery: AmqpDelivery): void {
    if (!this.open.delete(delivery) || this.over) return;
    this.accepted.add(delivery.id);
    if (this.flushing) return;
    if (this.open.size === 0 || this.accepted.size >= Math.max(1, this.plan.window >> 2)) {
      this.flushing = true;
      setImmediate(this.flush);
    } else this.timer ??= this.plan.clock.setTimeout(this.flush, this.plan.settleInterval);
  }

  release(delivery: AmqpDelivery): void {
    if (!this.open.delete(delivery) || this.over) return;
    this.flush();
    this.receiver?.settle(delivery.id, delivery.id, OUTCOME.released);
    this.replenish();
  }

  async defer(delivery: AmqpDelivery, notBefore: number, attempt: number): Promise<void> {
    if (this.over) return;
    const target = this.plan.address;
    await this.parts.publisher.publishOne({
      target,
      bytes: encodeDeferred(delivery.message.bare, notBefore, attempt),
    });
    this.accept(delivery);
  }

  async reject(delivery: AmqpDelivery, settlement: Extract<Settlement, { kind: 'reject' }>): Promise<void> {
    // Whoever gets it next decides about it.
    if (this.over) return;
    await this.parts.appendLetter(settlement);
    this.accept(delivery);
  }

  private take({ deliveryId, payload }: Transfer): void {
    this.credit--;
    const message = decodeMessage(payload);
    const remembered = this.recall(message);
    const attempt = remembered ?? this.attemptOf(message);
    this.inRun = message.deliveryCount > 0;
    const delivery = new AmqpDelivery(this, deliveryId, message, attempt);
    this.open.add(delivery);
    if (this.paused) this.held.push(delivery);
    else this.subscriber.deliver(delivery);
    if (this.probing && (message.deliveryCount < SUSPICIOUS || remembered !== undefined)) {
      this.probing = false;
      this.replenish();
    }
  }

  /** Its attempt, where this process itself had it when the last connection ended. */
  private recall(message: ReceivedMessage): number | undefined {
    const { remembered } = this.parts;
    if (message.deliveryCount === 0 || remembered.size === 0) return undefined;
    const attempt = remembered.get(message.identity);
    remembered.delete(message.identity);
    return attempt;
  }

  /**
   * The broker counts each delivery that a connection's end cut off, also of those that only waited behind another. Of a run of
   * such messages the first is taken to be the one that was at work.
   */
  private attemptOf({ deliveryCount, attempt }: ReceivedMessage): number {
    return deliveryCount > 0 && !this.inRun ? attempt + deliveryCount : attempt;
  }

  private readonly flush = (): void => {
    this.flushing = false;
    this.timer?.cancel();
    this.timer = undefined;
    const { receiver } = this;
    if (this.over || receiver === undefined) return;
    this.accepted.takeRanges((first, last) => receiver.settle(first, last, OUTCOME.accepted));
    this.replenish();
  };

  /** In few frames: not before a quarter of the window is free, unless all is. */
  private replenish(): void {
    if (this.paused || this.over || this.receiver === undefined) return;
    const window = this.probing ? 1 : this.plan.window;
    const free = window - this.credit - this.open.size - this.accepted.size;
    if (free <= 0 || (free < window >> 2 && this.open.size > 0)) return;
    this.credit += free;
    this.receiver.allow(free);
  }

  private end(): void {
    if (this.over) return;
    this.over = true;
    this.timer?.cancel();
    const { remembered } = this.parts;
    for (const { message, attempt } of this.open) remembered.set(message.identity, attempt);
    // What went to other processes is never asked for.
    for (const oldest of remembered.keys()) {
      if (remembered.size <= this.plan.window * 2) break;
      remembered.delete(oldest);
    }
    this.open.clear();
    this.held.length = 0;
    this.accepted.clear();
  }
}
