import { IsInt, IsLowercase, IsPositive, IsString, IsUUID, Length } from 'class-validator';
import { Event } from 'nestjs-eventing';

/** The money for an order has arrived. */
@Event({ name: 'payments.completed', channel: 'payments', key: 'orderId' })
export class PaymentCompleted {
  @IsUUID()
  orderId!: string;

  @IsUUID()
  paymentId!: string;

  @IsString()
  @Length(1, 100)
  customer!: string;

  @IsLowercase()
  @Length(2, 2)
  language!: string;

  /** In cents. */
  @IsInt()
  @IsPositive()
  total!: number;
}
