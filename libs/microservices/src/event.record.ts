import type { SendOptions } from 'nestjs-eventing';

export interface EventRecordOptions extends SendOptions {
  /** Milliseconds without an answer after which a request has failed. @default the client's */
  readonly timeout?: number;
}

/** Data with options, for `emit` and `send`: `client.emit('orders.placed', new EventRecord(order, { key: order.id }))`. */
export class EventRecord<T = unknown> {
  constructor(
    readonly data: T,
    readonly options: EventRecordOptions = {},
  ) {}
}
