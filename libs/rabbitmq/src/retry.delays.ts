import type { Channel } from 'amqplib';
import { serviceNames } from './rabbit.names.js';

const [SECOND, MINUTE, HOUR] = [1_000, 60_000, 3_600_000];

/**
 * How long the queues of a service keep what is deferred, at most. A message waits for its own time in the first that is long enough,
 * and is late, never early, where one before it in the same queue has longer to wait; so they are close together where delays are short.
 */
export const DELAYS: readonly number[] = [
  250,
  SECOND,
  2 * SECOND,
  5 * SECOND,
  15 * SECOND,
  MINUTE,
  5 * MINUTE,
  30 * MINUTE,
  3 * HOUR,
  24 * HOUR,
];
const LONGEST = DELAYS[DELAYS.length - 1] as number;

export interface Delay {
  /** Of the queue. */
  readonly most: number;
  /** Of the message. What has longer to wait comes back in between and is deferred again. */
  readonly wait: number;
}

export function delayFor(milliseconds: number): Delay {
  const wait = Math.min(Math.max(1, Math.ceil(milliseconds)), LONGEST);
  return { most: DELAYS.find((most) => most >= wait) ?? LONGEST, wait };
}

/** `250ms`, `5s`, `30m`, `24h`. */
export function delayName(milliseconds: number): string {
  if (milliseconds % HOUR === 0) return `${milliseconds / HOUR}h`;
  if (milliseconds % MINUTE === 0) return `${milliseconds / MINUTE}m`;
  return milliseconds % SECOND === 0 ? `${milliseconds / SECOND}s` : `${milliseconds}ms`;
}

export function delayQueueOf(retry: string, most: number): string {
  return `${retry}.${delayName(most)}`;
}

/** Makes the queue of one delay. What leaves it goes where its routing key says, and stays until it is safe there. */
export async function ensureDelay(channel: Channel, service: string, most: number): Promise<void> {
  const { retry, due, stranded } = serviceNames(service);
  await channel.assertExchange(stranded, 'fanout', { durable: true });
  await channel.assertQueue(stranded, { durable: true, arguments: { 'x-queue-type': 'quorum', 'x-delivery-limit': 1_000_000_000 } }); // prettier-ignore
  await channel.bindQueue(stranded, stranded, '');
  await channel.assertExchange(due, 'topic', { durable: true, alternateExchange: stranded });
  await channel.assertExchange(retry, 'topic', { durable: true });
  const queue = delayQueueOf(retry, most);
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-message-ttl': most,
      'x-dead-letter-exchange': due,
      'x-dead-letter-strategy': 'at-least-once',
      'x-overflow': 'reject-publish',
    },
  });
  await channel.bindQueue(queue, retry, `${delayName(most)}.#`);
}
