import { randomUUID } from 'node:crypto';
import { CompressionTypes, Kafka, logLevel, type Message } from 'kafkajs';
import type { OrderPlaced } from './order.event.js';

export const clientOf = (brokers: string): Kafka =>
  new Kafka({ clientId: 'bench', brokers: brokers.split(','), logLevel: logLevel.ERROR });

/** One message as we would write it: the same headers, the same key, the same bytes. */
export function messageOf(order: OrderPlaced): Message {
  return {
    key: order.orderId,
    value: Buffer.from(JSON.stringify(order)),
    timestamp: String(Date.now()),
    headers: {
      ce_specversion: '1.0',
      ce_id: randomUUID(),
      ce_source: '/bench',
      ce_type: 'orders.placed',
      'content-type': 'application/json',
    },
  };
}

export async function createTopic(brokers: string, topic: string, numPartitions: number): Promise<void> {
  const admin = clientOf(brokers).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions }], waitForLeaders: true });
  await admin.disconnect();
}

/** Fills a topic with events numbered from 0. */
export async function prefill(
  brokers: string,
  topic: string,
  events: number,
  order: (index: number) => OrderPlaced,
): Promise<void> {
  const producer = clientOf(brokers).producer({ idempotent: true });
  await producer.connect();
  for (let first = 0; first < events; first += 2000) {
    const messages = Array.from({ length: Math.min(2000, events - first) }, (_, index) =>
      messageOf(order(first + index)),
    );
    await producer.send({ topic, messages, acks: -1, compression: CompressionTypes.None });
  }
  await producer.disconnect();
}
