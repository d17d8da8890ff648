import type { Channel } from 'amqplib';
import { ACKNOWLEDGED, DONE, type RabbitDelivery } from './rabbit.delivery.js';

/**
 * What one AMQP channel was given and did not acknowledge, in order. The finished beginning is acknowledged in one frame; what is
 * finished behind something that is not, message by message.
 */
export class AckWindow {
  private deliveries: RabbitDelivery[] = [];
  private at = 0;
  /** The last of the finished beginning, to be acknowledged with all before it. */
  private upTo: RabbitDelivery | undefined;
  /** Finished beyond a gap. */
  private beyond: RabbitDelivery[] = [];
  /** Finished, and not told to the broker. */
  waiting = 0;

  constructor(private readonly channel: Pick<Channel, 'ack'>) {}

  /** In the order of delivery: of the channel, tags go up one by one. */
  add(delivery: RabbitDelivery): void {
    this.deliveries.push(delivery);
  }

  /** The oldest that is not settled. */
  get head(): RabbitDelivery | undefined {
    return this.deliveries[this.at];
  }

  *unsettled(): Iterable<RabbitDelivery> {
    for (let index = this.at; index < this.deliveries.length; index++) {
      const delivery = this.deliveries[index] as RabbitDelivery;
      if (delivery.state !== DONE && delivery.state !== ACKNOWLEDGED) yield delivery;
    }
  }

  done(delivery: RabbitDelivery): void {
    this.waiting++;
    if (this.deliveries[this.at] !== delivery) {
      this.beyond.push(delivery);
      return;
    }
    const { deliveries } = this;
    for (; this.at < deliveries.length; this.at++) {
      const next = deliveries[this.at] as RabbitDelivery;
      // The broker knows nothing more of one that was acknowledged alone: its tag must not be named again.
      if (next.state === DONE) this.upTo = next;
      else if (next.state !== ACKNOWLEDGED) break;
    }
    if (this.at === deliveries.length) {
      deliveries.length = 0;
      this.at = 0;
    } else if (this.at >= 512) {
      this.deliveries = deliveries.slice(this.at);
      this.at = 0;
    }
  }

  /** Tells the broker of everything that is finished. */
  flush(): void {
    if (this.waiting === 0) return;
    this.waiting = 0;
    const { upTo, beyond } = this;
    this.upTo = undefined;
    if (upTo !== undefined) this.channel.ack(upTo.message, true);
    if (beyond.length === 0) return;
    this.beyond = [];
    const last = upTo?.tag ?? 0;
    for (const delivery of beyond) {
      if (delivery.tag > last) this.channel.ack(delivery.message);
      delivery.state = ACKNOWLEDGED;
    }
  }
}
