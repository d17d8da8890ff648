import type { Delivery, RawHeaders, Settlement } from 'nestjs-eventing';
import type { ReceivedMessage } from './message.decoder.js';

/** What becomes of a delivery: the link that it came by. */
export interface DeliveryOwner {
  readonly channel: string;
  readonly source: string;
  readonly now: () => number;
  accept(delivery: AmqpDelivery): void;
  release(delivery: AmqpDelivery): void;
  defer(delivery: AmqpDelivery, notBefore: number, attempt: number): Promise<void>;
  reject(delivery: AmqpDelivery, settlement: Extract<Settlement, { kind: 'reject' }>): Promise<void>;
}

export class AmqpDelivery implements Delivery {
  private settled = false;

  constructor(
    private readonly owner: DeliveryOwner,
    /** Of AMQP's, in its session. */
    readonly id: number,
    readonly message: ReceivedMessage,
    readonly attempt: number,
  ) {}

  get channel(): string {
    return this.owner.channel;
  }

  get source(): string {
    return this.owner.source;
  }

  get key(): string | undefined {
    return this.message.key;
  }

  get headers(): RawHeaders {
    return this.message.headers;
  }

  get body(): Uint8Array {
    return this.message.body;
  }

  get time(): number {
    return (this.message.time ??= this.owner.now());
  }

  get position(): string {
    return this.message.identity;
  }

  get notBefore(): number | undefined {
    const { notBefore } = this.message;
    return notBefore !== undefined && notBefore > this.owner.now() ? notBefore : undefined;
  }

  settle(settlement: Settlement): Promise<void> | void {
    if (this.settled) return undefined;
    this.settled = true;
    switch (settlement.kind) {
      case 'accept':
        return this.owner.accept(this);
      case 'release':
        return this.owner.release(this);
      case 'defer':
        return this.reopening(this.owner.defer(this, settlement.notBefore, settlement.attempt));
      case 'reject':
        return this.reopening(this.owner.reject(this, settlement));
    }
  }

  private async reopening(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.settled = false;
      throw error;
    }
  }
}
