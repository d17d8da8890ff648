/** How links name exchanges and queues. */
export interface RabbitMqAddresses {
  /** To send to. */
  exchange(exchange: string, routingKey: string): string;
  /** To read from, and to send to. */
  queue(queue: string): string;
}

/** RabbitMQ 4: each name is percent-encoded by itself. */
export const ADDRESSES_V2: RabbitMqAddresses = {
  exchange: (exchange, routingKey) => `/exchanges/${encoded(exchange)}/${encoded(routingKey)}`,
  queue: (queue) => `/queues/${encoded(queue)}`,
};

/**
 * RabbitMQ 3 with its plugin, which takes names as they are; ours have no slash. `/amq/queue/…` and not `/queue/…`, which would make a
 * queue that is not there.
 */
export const ADDRESSES_V1: RabbitMqAddresses = {
  exchange: (exchange, routingKey) => `/exchange/${exchange}/${routingKey}`,
  queue: (queue) => `/amq/queue/${queue}`,
};

/** Everything but what RFC 3986 calls unreserved. */
export function encoded(name: string): string {
  return encodeURIComponent(name).replaceAll(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}
