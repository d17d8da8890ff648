import { type Channel, type ChannelModel, type ConfirmChannel, connect, type Options } from 'amqplib';
import { randomUUID } from 'node:crypto';
import { orderNumber, type OrderPlaced } from './order.event.js';

/** A queue as ours of an ordered listener is. */
export const QUORUM = {
  'x-queue-type': 'quorum',
  'x-delivery-limit': 1_000_000_000,
  'x-overflow': 'reject-publish',
  'x-single-active-consumer': true,
};

export async function connectByHand(url: string): Promise<ChannelModel> {
  // Nagle off: with it, latencies are those of TCP.
  return connect(url, { noDelay: true });
}

/** One message as we would write it: the same headers and properties, the same bytes. */
export function sendByHand(
  channel: Channel,
  exchange: string,
  order: OrderPlaced,
  confirmed?: (e: unknown) => void,
): boolean {
  // prettier-ignore
  const now = Date.now();
  const id = randomUUID();
  const options: Options.Publish = {
    persistent: true,
    contentType: 'application/json',
    messageId: id,
    timestamp: Math.floor(now / 1_000),
    headers: {
      'cloudEvents:specversion': '1.0',
      'cloudEvents:id': id,
      'cloudEvents:source': '/bench',
      'cloudEvents:type': 'orders.placed',
      'cloudEvents:partitionkey': order.orderId,
      'eventing-ref': `${now.toString(36)}-abcdefghijkl-${order.total.toString(36)}`,
    },
  };
  const body = Buffer.from(JSON.stringify(order));
  return (channel as ConfirmChannel).publish(exchange, 'orders', body, options, confirmed);
}

/** The exchange, and a queue bound to it. */
export async function declare(channel: Channel, exchange: string, queue: string): Promise<void> {
  await channel.assertExchange(exchange, 'topic', { durable: true });
  await channel.assertQueue(queue, { durable: true, arguments: QUORUM });
  await channel.bindQueue(queue, exchange, '#');
}

/** Fills all queues of an exchange with events numbered from 0. */
export async function prefill(url: string, exchange: string, events: number): Promise<void> {
  const connection = await connectByHand(url);
  const channel = await connection.createConfirmChannel();
  for (let first = 0; first < events; first += 1_000) {
    for (let index = first; index < Math.min(events, first + 1_000); index++)
      sendByHand(channel, exchange, orderNumber(index));
    await channel.waitForConfirms();
  }
  await connection.close();
}
