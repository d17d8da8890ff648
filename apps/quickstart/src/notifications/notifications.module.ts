import { Module } from '@nestjs/common';
import { SessionModule } from '../session/session.module.js';
import { DeadLettersController } from './dead-letters.controller.js';
import { Mailer } from './mailer.js';
import { ReceiptTemplatesController } from './receipt-templates.controller.js';
import { ReceiptTemplates } from './receipt.templates.js';
import { SendReceipt } from './send-receipt.listener.js';

/** Writes to customers; and lets operators mend what went wrong. */
@Module({
  imports: [SessionModule],
  controllers: [ReceiptTemplatesController, DeadLettersController],
  providers: [ReceiptTemplates, Mailer, SendReceipt],
})
export class NotificationsModule {}
