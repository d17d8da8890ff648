import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { setInterval } from 'node:timers/promises';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { clientOf, createTopic, messageOf } from './kafka.twin.js';
import { type Sample, sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 1000;
/** Milliseconds between two events: 200 events a second. */
const PAUSE = 5;

/** Sends one event each 5 ms and notes how long each takes until its listener is called. */
async function paced(send: (event: OrderPlaced) => Promise<unknown>, arrived: Arrivals): Promise<Sample> {
  const latencies: number[] = [];
  const tally = new Tally();
  tally.start();
  const done = tally.reached(EVENTS);
  const sentAt: number[] = [];
  arrived.on = (event) => {
    latencies.push(performance.now() - (sentAt[event.total] ?? 0));
    tally.add(event.total);
  };
  const taken = await sample(EVENTS, async () => {
    const open: Promise<unknown>[] = [];
    let index = 0;
    for await (const _ of setInterval(PAUSE)) {
      sentAt[index] = performance.now();
      open.push(send(orderNumber(index++)));
      if (index === EVENTS) break;
    }
    await Promise.all(open);
    await done;
  });
  tally.check(EVENTS);
  return { ...taken, latencies };
}

interface Arrivals {
  on: (event: OrderPlaced) => void;
}

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
