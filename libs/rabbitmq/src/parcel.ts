import type { OpenMessage, PublishCall } from 'nestjs-eventing';
import type { Sent } from './message.codec.js';

/** One message on its way to the broker. */
export interface Parcel {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Buffer;
  readonly sent: Sent;
  readonly persistent: boolean;
  /** Nobody to get it is a failure. */
  readonly mandatory: boolean;
  /** Milliseconds after which the broker may drop it. */
  readonly expiration?: number;
  /** For people. */
  readonly channel: string;
}

export class QueuedParcel implements OpenMessage {
  /** It was handed to a connection at least once: the broker may have it. */
  written = false;
  done = false;
  returned = false;

  constructor(
    readonly call: PublishCall<QueuedParcel>,
    readonly index: number,
    readonly parcel: Parcel,
  ) {}
}
