import { Injectable } from '@nestjs/common';
import type { PaymentCompleted } from '../events/payment-completed.event.js';

/** The texts of receipts, by language. The first release forgot French. */
@Injectable()
export class ReceiptTemplates {
  readonly #templates = new Map([
    ['en', 'Thank you, {customer}: we received {total}.'],
    ['de', 'Danke, {customer}: {total} sind eingegangen.'],
  ]);

  set(language: string, template: string): void {
    this.#templates.set(language, template);
  }

  render(payment: PaymentCompleted): string {
    const template = this.#templates.get(payment.language);
    if (template === undefined) throw new Error(`There is no receipt template for the language "${payment.language}".`);
    return template.replace('{customer}', payment.customer).replace('{total}', `€ ${(payment.total / 100).toFixed(2)}`);
  }
}
