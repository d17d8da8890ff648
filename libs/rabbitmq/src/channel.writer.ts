import type { ConfirmChannel } from 'amqplib';
import { FrameWriter } from './frame.writer.js';
import { encodeProperties } from './message.codec.js';
import type { Parcel } from './parcel.js';

/** Writes messages to one channel, in order: ordinary ones many at a time, others as amqplib does. */
export class ChannelWriter {
  private readonly frames: FrameWriter | undefined;

  constructor(private readonly channel: ConfirmChannel) {
    this.frames = FrameWriter.of(channel);
  }

  /** The message goes with the next `flush`, if not before. Throws what amqplib says of one that cannot be sent. @returns as `flush` */
  write(parcel: Parcel): boolean {
    const { frames } = this;
    if (frames?.add(parcel) === true) return !frames.isFull || frames.flush();
    const { exchange, routingKey, body, sent, persistent, mandatory, expiration } = parcel;
    const properties = encodeProperties(sent, persistent);
    if (mandatory) properties.mandatory = true;
    if (expiration !== undefined) properties.expiration = expiration;
    const hasRoom = this.flush();
    return this.channel.publish(exchange, routingKey, body, properties) && hasRoom;
  }

  /** @returns whether more may come; if not, after `drain` of the channel */
  flush(): boolean {
    return this.frames?.flush() ?? true;
  }
}
