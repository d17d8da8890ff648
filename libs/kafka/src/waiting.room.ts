import type { KafkaDelivery } from './kafka.delivery.js';

/** Deferred messages of a partition that wait in memory; what comes behind them waits with them. */
export const MOST_WAITING = 10_000;
const MOST_WAITING_BYTES = 16 * 1024 * 1024;

/** Deferred messages that are not due yet, soonest first. */
export class WaitingRoom {
  private readonly deliveries: KafkaDelivery[] = [];
  private bytes = 0;

  get size(): number {
    return this.deliveries.length;
  }

  get isFull(): boolean {
    return this.deliveries.length >= MOST_WAITING || this.bytes >= MOST_WAITING_BYTES;
  }

  /** When the next one is due, milliseconds since 1970. */
  get nextDue(): number | undefined {
    return this.deliveries[0]?.notBefore;
  }

  add(delivery: KafkaDelivery): void {
    const due = delivery.notBefore ?? 0;
    let low = 0;
    for (let high = this.deliveries.length; low < high;) {
      const middle = (low + high) >> 1;
      if ((this.deliveries[middle]?.notBefore ?? 0) <= due) low = middle + 1;
      else high = middle;
    }
    this.deliveries.splice(low, 0, delivery);
    this.bytes += delivery.body.length;
  }

  /** Lets those go that are due now. */
  takeDue(now: number): KafkaDelivery[] {
    let count = 0;
    while (count < this.deliveries.length && (this.deliveries[count]?.notBefore ?? 0) <= now) count++;
    const due = this.deliveries.splice(0, count);
    for (const delivery of due) this.bytes -= delivery.body.length;
    return due;
  }

  clear(): void {
    this.deliveries.length = 0;
    this.bytes = 0;
  }
}
