import { EventListener, EventManager } from 'nestjs-eventing';
import { OrderPlaced } from '../events/order-placed.event.js';
import { PaymentCompleted } from '../events/payment-completed.event.js';
import { CardGateway } from './card.gateway.js';

/** A throw is all it takes to be called again: after 100 ms, then 200, 400 and 800. */
@EventListener(OrderPlaced, { retry: { attempts: 5, delay: 100 } })
export class TakePayment implements EventListener<OrderPlaced> {
  constructor(
    private readonly gateway: CardGateway,
    private readonly events: EventManager,
  ) {}

  async on({ orderId, customer, language, card, total }: OrderPlaced): Promise<void> {
    // With the order as idempotency key, an event that comes twice charges once.
    const paymentId = await this.gateway.charge(card, total, orderId);
    await this.events.sendEvent(PaymentCompleted, { orderId, paymentId, customer, language, total });
  }
}
