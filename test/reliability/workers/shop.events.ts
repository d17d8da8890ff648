import { IsInt, IsString } from 'class-validator';
import { Event } from 'nestjs-eventing';

/** The so-manieth order of its key. The name is unique, also among those that were rolled back. */
@Event({ name: 'orders.placed', channel: 'orders', key: 'key' })
export class OrderPlaced {
  @IsString() order!: string;
  @IsString() key!: string;
  @IsInt() number!: number;
}

@Event({ name: 'payments.made', channel: 'payments', key: 'key' })
export class PaymentMade {
  @IsString() order!: string;
  @IsString() key!: string;
  @IsInt() number!: number;
}
