/**
 * What things are called on the broker. Queue names are unique in all of it, and `::` parts an address from a queue, so one `:`
 * parts the names here, which have none of their own.
 */
export interface QueueOwner {
  readonly channel: string;
  readonly service: string;
  readonly subscription: string;
}

/** The queue of a subscription: `orders:shop:SendReceipt`. */
export function sharedQueue({ channel, service, subscription }: QueueOwner): string {
  return `${channel}:${service}:${subscription}`;
}

/** The queue that one process has: `orders:shop:SendReceipt:host-1`. */
export function processQueue(owner: QueueOwner, instance: string): string {
  return `${sharedQueue(owner)}:${instance.replaceAll(/[^A-Za-z0-9._-]/g, '_')}`;
}

/** The address by which one queue is reached alone. */
export function qualified(address: string, queue: string): string {
  return `${address}::${queue}`;
}

export const deadLetterQueue = (service: string): string => `${service}.dead-letters`;
/** Where messages wait that cannot be read. */
export const setAsideQueue = (service: string): string => `${service}.set-aside`;
/** Where the broker's management answers. */
export const replyAddress = (service: string): string => `${service}.replies`;
