import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { clientOf, createTopic, messageOf } from './kafka.twin.js';
import { OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';

export function eventing({ brokers = '' }: Record<string, string>): Subject {
  const arrived: Arrivals = { on: () => undefined };
  const runtime = new EventingRuntime(
    resolveOptions({ service: `bench-${randomUUID()}`, provider: kafka({ brokers: brokers.split(',') }) }, quiet),
    (registry) => ({
      pipelines: [],
      problems: [],
      listeners: [
        {
          label: 'Bench',
          events: [registry.describe(OrderPlaced)],
          options: {},
          invoke: async (event) => arrived.on(event as OrderPlaced),
        },
      ],
    }),
  );
  return {
    prepare: () => runtime.start(),
    round: () => paced((event) => runtime.events.sendEvent(event), arrived),
    close: () => runtime.stop(),
  };
}

export function byHand({ brokers = '' }: Record<string, string>): Subject {
  const arrived: Arrivals = { on: () => undefined };
  const producer = clientOf(brokers).producer({ idempotent: true });
  const consumer = clientOf(brokers).consumer({ groupId: `twin-${randomUUID()}` });
  return {
    async prepare() {
      await createTopic(brokers, 'orders.twin', 6);
      await producer.connect();
      await consumer.connect();
      await consumer.subscribe({ topic: 'orders.twin' });
      const joined = new Promise((resolve) => consumer.on('consumer.group_join', resolve));
      await consumer.run({
        eachBatch: async ({ batch }) => {
          for (const message of batch.messages) arrived.on(JSON.parse(String(message.value)) as OrderPlaced);
        },
      });
      await joined;
    },
    round: () =>
      paced((event) => producer.send({ topic: 'orders.twin', acks: -1, messages: [messageOf(event)] }), arrived),
    async close() {
      await consumer.disconnect();
      await producer.disconnect();
    },
  };
}
