import { Module } from '@nestjs/common';
import { SessionModule } from '../session/session.module.js';
import { MarkOrderPaid } from './mark-order-paid.listener.js';
import { OrderBook } from './order.book.js';
import { OrdersController } from './orders.controller.js';

/** Takes orders over HTTP and keeps their status. */
@Module({
  imports: [SessionModule],
  controllers: [OrdersController],
  providers: [OrderBook, MarkOrderPaid],
})
export class OrdersModule {}
