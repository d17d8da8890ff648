import { DONE, type LogDelivery } from './log.delivery.js';

/** What was delivered, in order, from the first that is not settled on. */
export class DeliveryWindow {
  private deliveries: LogDelivery[] = [];
  private at = 0;

  get size(): number {
    return this.deliveries.length - this.at;
  }

  /** Never one that is done. */
  get head(): LogDelivery | undefined {
    return this.deliveries[this.at];
  }

  push(delivery: LogDelivery): void {
    this.deliveries.push(delivery);
  }

  replace(before: LogDelivery, after: LogDelivery): void {
    this.deliveries[this.deliveries.indexOf(before, this.at)] = after;
  }

  /** Forgets what is done at the front. */
  shrink(): void {
    const { deliveries } = this;
    while (this.at < deliveries.length && (deliveries[this.at] as LogDelivery).state === DONE) this.at++;
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

  /** Positions of what is done behind one that is not. */
  donePositions(): number[] {
    const positions: number[] = [];
    for (let index = this.at; index < this.deliveries.length; index++) {
      const { state, event } = this.deliveries[index] as LogDelivery;
      if (state === DONE) positions.push(event.position);
    }
    return positions;
  }
}
