import { Module } from '@nestjs/common';
import { SessionModule } from '../session/session.module.js';
import { CardGateway } from './card.gateway.js';
import { TakePayment } from './take-payment.listener.js';

/** Takes the money for orders. No HTTP: it lives on events. */
@Module({
  imports: [SessionModule],
  providers: [CardGateway, TakePayment],
})
export class PaymentsModule {}
