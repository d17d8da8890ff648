import type { RawHeaders } from 'nestjs-eventing';

/** A place in the log: events are in the order of the transaction that stored them, then of their position. */
export interface LogPosition {
  readonly xid: number;
  readonly position: number;
}

/** One partition of a channel. */
export interface Source {
  readonly channel: string;
  readonly partition: number;
}

/** `orders/3`. */
export function sourceName({ channel, partition }: Source): string {
  return `${channel}/${partition}`;
}

/** An event as it was read. */
export interface StoredEvent extends LogPosition {
  readonly time: number;
  readonly key: string | undefined;
  readonly headers: RawHeaders;
  readonly body: Uint8Array;
}
