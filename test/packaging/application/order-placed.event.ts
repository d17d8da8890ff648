import { IsPositive, IsString } from 'class-validator';
import { Event } from 'nestjs-eventing';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
export class OrderPlaced {
  @IsString() orderId!: string;
  @IsPositive() cents!: number;
}

@Event({ name: 'shop.closing' })
export class ShopClosing {}
