import 'reflect-metadata';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { clientOf, createTopic, messageOf } from './kafka.twin.js';
import { sample } from './measure.js';
import { orderNumber } from './order.event.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';

const EVENTS = 50_000;
/** Sends open at one time, and messages in a hand-made batch. */
const OPEN = 1000;
const PARTITIONS = 6;

/** 1000 `sendEvent` calls open at all times: as each is answered, the next is made. */
export function eventing({ brokers = '' }: Record<string, string>): Subject {
  const runtime = new EventingRuntime(
    resolveOptions(
      { service: 'bench', provider: kafka({ brokers: brokers.split(','), partitions: PARTITIONS }) },
      quiet,
    ),
    () => ({ pipelines: [], listeners: [], problems: [] }),
  );
  return {
    async prepare() {
      await createTopic(brokers, 'orders', PARTITIONS);
      await runtime.start();
      await runtime.events.sendEvent(orderNumber(0));
    },
    round: () =>
      sample(EVENTS, async () => {
        let next = 0;
        const sender = async (): Promise<void> => {
          while (next < EVENTS) await runtime.events.sendEvent(orderNumber(next++));
        };
        await Promise.all(Array.from({ length: OPEN }, sender));
      }),
    close: () => runtime.stop(),
  };
}

/** kafkajs with hand-made batches of 1000: the same key, headers, acks and idempotence. */
export function byHand({ brokers = '' }: Record<string, string>): Subject {
  const producer = clientOf(brokers).producer({ idempotent: true });
  return {
    async prepare() {
      await createTopic(brokers, 'orders.twin', PARTITIONS);
      await producer.connect();
      await producer.send({ topic: 'orders.twin', acks: -1, messages: [messageOf(orderNumber(0))] });
    },
    round: () =>
      sample(EVENTS, async () => {
        for (let first = 0; first < EVENTS; first += OPEN) {
          const messages = Array.from({ length: OPEN }, (_, index) => messageOf(orderNumber(first + index)));
          await producer.send({ topic: 'orders.twin', acks: -1, messages });
        }
      }),
    close: () => producer.disconnect(),
  };
}
