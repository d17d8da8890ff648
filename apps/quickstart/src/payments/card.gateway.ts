import { randomUUID } from 'node:crypto';
import { Injectable } from '@nestjs/common';

/** How often `card_flaky` fails before it goes through. */
const FLAKY_FAILURES = 2;

export class GatewayUnavailable extends Error {
  override readonly name = 'GatewayUnavailable';
}

/** Stands in for the client of a payment provider, with a test card like those of a sandbox: `card_flaky`. */
@Injectable()
export class CardGateway {
  readonly #failures = new Map<string, number>();
  readonly #payments = new Map<string, string>();

  /**
   * Charges a card and returns the id of the payment; for an idempotency key it has seen before, that of the first time.
   * @throws GatewayUnavailable when another attempt may succeed
   */
  async charge(card: string, _cents: number, idempotencyKey: string): Promise<string> {
    const failures = this.#failures.get(idempotencyKey) ?? 0;
    if (card === 'card_flaky' && failures < FLAKY_FAILURES) {
      this.#failures.set(idempotencyKey, failures + 1);
      throw new GatewayUnavailable('the card gateway answered 503, try again later');
    }
    const paymentId = this.#payments.get(idempotencyKey) ?? randomUUID();
    this.#payments.set(idempotencyKey, paymentId);
    return paymentId;
  }
}
