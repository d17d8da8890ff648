import type { ConsumeMessage } from 'amqplib';
import type { Clock, Delivery, RawHeaders, Settlement } from 'nestjs-eventing';
import { decodeFacts, decodeHeaders, foreignTime, type OwnFacts, timeOf } from './message.codec.js';
import { foreignPosition } from './foreign.position.js';

/** In hand, here or at the kernel. */
export const OPEN = 0;
/** Being moved elsewhere; not settled until it is safe there. */
export const MOVING = 1;
/** Settled, and the broker not told. */
export const DONE = 2;
/** Given back, to be delivered again. */
export const RELEASED = 3;
/** The broker was told of it alone. */
export const ACKNOWLEDGED = 4;

/** Who hears what becomes of a delivery. */
export interface DeliveryOwner {
  readonly queue: string;
  readonly channel: string;
  accepted(delivery: RabbitDelivery): void;
  settleElse(delivery: RabbitDelivery, settlement: Exclude<Settlement, { readonly kind: 'accept' }>): Promise<void>;
}

/** One message handed to the kernel. Many are alive at a time, so what is rarely asked is computed then. */
export class RabbitDelivery implements Delivery {
  state = OPEN;
  /** It is written down that it is in work, alone. */
  accused = false;
  attempt: number;
  readonly key: string | undefined;
  readonly notBefore: number | undefined;
  readonly time: number;
  readonly position: string;
  readonly facts: OwnFacts;
  private cached: RawHeaders | undefined;

  constructor(
    private readonly owner: DeliveryOwner,
    readonly message: ConsumeMessage,
    clock: Pick<Clock, 'now'>,
  ) {
    const facts = decodeFacts(message);
    this.facts = facts;
    this.key = facts.key;
    this.attempt = facts.attempt;
    this.notBefore = facts.notBefore;
    if (facts.ref === undefined) {
      this.time = foreignTime(message) ?? clock.now();
      this.position = foreignPosition(message);
    } else {
      this.time = timeOf(facts.ref);
      this.position = facts.ref;
    }
  }

  get tag(): number {
    return this.message.fields.deliveryTag;
  }

  get channel(): string {
    return this.owner.channel;
  }

  get source(): string {
    return this.owner.queue;
  }

  get headers(): RawHeaders {
    this.cached ??= decodeHeaders(this.message);
    return this.cached;
  }

  get body(): Uint8Array {
    return this.message.content;
  }

  settle(settlement: Settlement): Promise<void> | void {
    if (this.state !== OPEN) return;
    if (settlement.kind === 'accept') {
      this.state = DONE;
      this.owner.accepted(this);
      return;
    }
    return this.owner.settleElse(this, settlement);
  }
}
