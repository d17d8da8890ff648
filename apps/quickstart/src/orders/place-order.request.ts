import { IsInt, IsLowercase, IsPositive, IsString, Length } from 'class-validator';

/** The body of `POST /orders`. */
export class PlaceOrder {
  @IsString()
  @Length(1, 100)
  customer!: string;

  @IsLowercase()
  @Length(2, 2)
  language!: string;

  @IsString()
  @Length(1, 100)
  card!: string;

  @IsInt()
  @IsPositive()
  total!: number;
}
