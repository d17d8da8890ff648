import { EventingError, type Subscription } from 'nestjs-eventing';

/** AMQP's names are at most 255 bytes; some room is for what is put before and behind them. */
const LONGEST_NAME = 235;

/** What a subscription is called in the exchanges that send to it alone, whatever process it runs in. */
export function targetOf(channel: string, service: string, name: string, partition?: number): string {
  return `${partitioned(channel, partition)}::${service}.${name}`;
}

/** @param instance given where each process has a queue of its own */
export function queueOf(
  channel: string,
  service: string,
  { name, perProcess }: Pick<Subscription, 'name' | 'perProcess'>,
  instance: string,
  partition?: number,
): string {
  const queue = `${targetOf(channel, service, name, partition)}${perProcess ? `-${instance}` : ''}`;
  if (Buffer.byteLength(queue) > LONGEST_NAME)
    throw new EventingError(
      'EVT_TOPOLOGY',
      `The queue of ${name} would be called ${queue}, which is longer than ${LONGEST_NAME} bytes: give the channel, the service or the listener a shorter name.`,
    );
  return queue;
}

/** The routing key of a channel's events, in the exchange of that channel. */
export function partitioned(channel: string, partition: number | undefined): string {
  return partition === undefined ? channel : `${channel}.${partition}`;
}

/** Exchanges and queues that a service has for itself. */
export function serviceNames(service: string): ServiceNames {
  return {
    retry: `${service}.retry`,
    due: `${service}.retry.due`,
    stranded: `${service}.retry.stranded`,
    letters: `${service}.dead-letters`,
  };
}

export interface ServiceNames {
  /** Exchange: `now.<target>` goes to a subscription, `<delay>.<target>` to the queue of that delay. */
  readonly retry: string;
  /** Exchange: takes what has waited long enough to `<target>`. */
  readonly due: string;
  /** Exchange and queue: what was due for a subscription that is gone. */
  readonly stranded: string;
  /** Exchange and stream. */
  readonly letters: string;
}

/** FNV-1a over UTF-16 units. The same in all versions: a key must not move. */
export function partitionOf(key: string, partitions: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < key.length; index++) {
    hash ^= key.charCodeAt(index);
    hash = Math.imul(hash, 0x01000193);
  }
  // FNV's low bits alone are poor for short keys.
  hash ^= hash >>> 15;
  return (hash >>> 0) % partitions;
}
