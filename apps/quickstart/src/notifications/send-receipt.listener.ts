import { EventListener } from 'nestjs-eventing';
import { PaymentCompleted } from '../events/payment-completed.event.js';
import { Mailer } from './mailer.js';
import { ReceiptTemplates } from './receipt.templates.js';

/** What still fails at the third attempt becomes a dead letter; the next customer's receipt does not wait for it. */
@EventListener(PaymentCompleted, { retry: { attempts: 3, delay: 50 } })
export class SendReceipt implements EventListener<PaymentCompleted> {
  constructor(
    private readonly templates: ReceiptTemplates,
    private readonly mailer: Mailer,
  ) {}

  async on(payment: PaymentCompleted): Promise<void> {
    await this.mailer.send({ to: payment.customer, text: this.templates.render(payment) });
  }
}
