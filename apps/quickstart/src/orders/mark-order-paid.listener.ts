import { EventListener } from 'nestjs-eventing';
import { PaymentCompleted } from '../events/payment-completed.event.js';
import { OrderBook } from './order.book.js';

@EventListener(PaymentCompleted)
export class MarkOrderPaid implements EventListener<PaymentCompleted> {
  constructor(private readonly orders: OrderBook) {}

  on(payment: PaymentCompleted): void {
    this.orders.markPaid(payment.orderId);
  }
}
