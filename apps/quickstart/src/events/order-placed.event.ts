import { IsInt, IsLowercase, IsPositive, IsString, IsUUID, Length } from 'class-validator';
import { Event } from 'nestjs-eventing';

/** A customer has ordered and named a card. Nothing is paid yet. */
@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
export class OrderPlaced {
  @IsUUID()
  orderId!: string;

  @IsString()
  @Length(1, 100)
  customer!: string;

  /** The language to write to the customer in, as two letters. */
  @IsLowercase()
  @Length(2, 2)
  language!: string;

  /** A token of the card gateway, never the number of a card. */
  @IsString()
  @Length(1, 100)
  card!: string;

  /** In cents. */
  @IsInt()
  @IsPositive()
  total!: number;
}
