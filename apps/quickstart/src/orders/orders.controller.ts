import { Body, Controller, Get, NotFoundException, Param, Post, ValidationPipe } from '@nestjs/common';
import { EventManager } from 'nestjs-eventing';
import { OrderPlaced } from '../events/order-placed.event.js';
import { type Order, OrderBook } from './order.book.js';
import { PlaceOrder } from './place-order.request.js';

@Controller('orders')
export class OrdersController {
  constructor(
    private readonly orders: OrderBook,
    private readonly events: EventManager,
  ) {}

  /** `sendEvent` resolves when the broker has the event: only then does the customer hear "201". */
  @Post()
  async place(
    @Body(new ValidationPipe({ forbidNonWhitelisted: true, whitelist: true })) request: PlaceOrder,
  ): Promise<Order> {
    const { customer, language, card, total } = request;
    const order = this.orders.open();
    await this.events.sendEvent(OrderPlaced, { orderId: order.orderId, customer, language, card, total });
    return order;
  }

  @Get(':orderId')
  find(@Param('orderId') orderId: string): Order {
    const order = this.orders.find(orderId);
    if (order === undefined) throw new NotFoundException(`There is no order ${orderId}.`);
    return order;
  }
}
