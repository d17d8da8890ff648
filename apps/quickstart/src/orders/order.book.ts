import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';

export interface Order {
  readonly orderId: string;
  readonly status: 'placed' | 'paid';
}

/** The orders of this shop. Yours are in a database. */
@Injectable()
export class OrderBook {
  readonly #orders = new Map<string, Order>();

  open(): Order {
    const order: Order = { orderId: randomUUID(), status: 'placed' };
    this.#orders.set(order.orderId, order);
    return order;
  }

  find(orderId: string): Order | undefined {
    return this.#orders.get(orderId);
  }

  /** Harmless when it comes twice: events are delivered at least once. */
  markPaid(orderId: string): void {
    if (this.#orders.has(orderId)) this.#orders.set(orderId, { orderId, status: 'paid' });
  }
}
