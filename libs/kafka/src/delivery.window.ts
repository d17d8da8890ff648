import type { DoneRange } from './commit.metadata.js';
import { DONE, type KafkaDelivery } from './kafka.delivery.js';
import type { OutputLedger } from './output.ledger.js';

/** What was delivered, in order, from the first that is not settled on. */
export class DeliveryWindow {
  private deliveries: KafkaDelivery[] = [];
  private at = 0;

  get size(): number {
    return this.deliveries.length - this.at;
  }

  /** Never one that is done. */
  get head(): KafkaDelivery | undefined {
    return this.deliveries[this.at];
  }

  push(delivery: KafkaDelivery): void {
    this.deliveries.push(delivery);
  }

  replace(before: KafkaDelivery, after: KafkaDelivery): void {
    this.deliveries[this.deliveries.indexOf(before, this.at)] = after;
  }

  /** Forgets what is done at the front; its outputs are due. */
  shrink(ledger: OutputLedger): void {
    const { deliveries } = this;
    for (; this.at < deliveries.length; this.at++) {
      const delivery = deliveries[this.at] as KafkaDelivery;
      if (delivery.state !== DONE) break;
      if (delivery.outputs !== undefined) ledger.add(delivery);
    }
    if (this.at === deliveries.length) {
      this.clear();
    } else if (this.at >= 512) {
      this.deliveries = deliveries.slice(this.at);
      this.at = 0;
    }
  }

  clear(): void {
    this.deliveries = [];
    this.at = 0;
  }

  /**
   * What is done behind one that is not. Neighbours in the order of delivery make one range, whatever gaps the log has. What has outputs is
   * not done before they are committed, and they wait for their turn.
   */
  doneRanges(): DoneRange[] {
    const ranges: DoneRange[] = [];
    let from = -1;
    let to = -1;
    for (let index = this.at; index < this.deliveries.length; index++) {
      const delivery = this.deliveries[index] as KafkaDelivery;
      if (delivery.state === DONE && delivery.outputs === undefined) {
        if (from === -1) from = delivery.offset;
        to = delivery.offset;
      } else if (from !== -1) {
        ranges.push({ from, to });
        from = -1;
      }
    }
    if (from !== -1) ranges.push({ from, to });
    return ranges;
  }
}
