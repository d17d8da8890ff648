import { IsInt, IsString } from 'class-validator';
import { Event } from 'nestjs-eventing';
import { setup } from './worker.argument.js';

@Event({ name: 'counted', channel: setup.channel, key: 'key' })
export class Counted {
  @IsString() key!: string;
  @IsInt() number!: number;
}
