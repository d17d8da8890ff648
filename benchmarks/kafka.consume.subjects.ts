import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, type ListenerOptions, resolveOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { clientOf, createTopic, prefill } from './kafka.twin.js';
import { type Sample, sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

/** Starts a listener of its own group at the earliest position, and ends when it has handled everything, once. */
export async function drainTopic(given: {
  readonly brokers: string;
  readonly events: number;
  readonly options?: ListenerOptions;
  readonly work?: (event: OrderPlaced) => Promise<void>;
}): Promise<Sample> {
  const tally = new Tally();
  tally.start();
  const runtime = new EventingRuntime(
    resolveOptions({ service: `bench-${randomUUID()}`, provider: kafka({ brokers: given.brokers.split(',') }) }, quiet),
    (registry) => ({
      pipelines: [],
      problems: [],
      listeners: [
        {
          label: 'Bench',
          events: [registry.describe(OrderPlaced)],
          options: { from: 'earliest', ...given.options },
          invoke: async (event) => {
            await given.work?.(event as OrderPlaced);
            tally.add((event as OrderPlaced).total);
          },
        },
      ],
    }),
  );
  // Joining a group takes as long as the broker likes: the clock starts at the first event.
  const started = tally.reached(1);
  await runtime.start();
  await started;
  const before = tally.count;
  const taken = await sample(given.events - before, async () => tally.reached(given.events));
  await runtime.stop();
  tally.check(given.events);
  return taken;
}

export function eventing({ brokers = '', events = '100000' }: Record<string, string>): Subject {
  return { round: () => drainTopic({ brokers, events: Number(events) }) };
}

/** kafkajs `eachBatch`: reads the same headers, parses the same JSON, commits every 200 ms. */
export function byHand({ brokers = '', events = '100000' }: Record<string, string>): Subject {
  const total = Number(events);
  return {
    async round() {
      const tally = new Tally();
      tally.start();
      const started = tally.reached(1);
      const consumer = clientOf(brokers).consumer({ groupId: `twin-${randomUUID()}` });
      await consumer.connect();
      await consumer.subscribe({ topic: 'orders', fromBeginning: true });
      const handle = async (event: OrderPlaced, headers: Record<string, string>): Promise<void> => {
        if (headers['ce_type'] === 'orders.placed') tally.add(event.total);
      };
      await consumer.run({
        autoCommitInterval: 200,
        eachBatchAutoResolve: false,
        eachBatch: async ({ batch, resolveOffset, heartbeat, commitOffsetsIfNecessary }) => {
          for (const message of batch.messages) {
            const headers: Record<string, string> = {};
            for (const name in message.headers) headers[name] = String(message.headers[name]);
            await handle(JSON.parse(String(message.value)) as OrderPlaced, headers);
            resolveOffset(message.offset);
          }
          await commitOffsetsIfNecessary();
          await heartbeat();
        },
      });
      await started;
      const before = tally.count;
      const taken = await sample(total - before, async () => tally.reached(total));
      await consumer.disconnect();
      tally.check(total);
      return taken;
    },
  };
}

/** Makes the topic that both read. */
export async function fill(brokers: string, events: number, partitions: number, keys?: number): Promise<void> {
  await createTopic(brokers, 'orders', partitions);
  await prefill(brokers, 'orders', events, (index) => orderNumber(index, keys));
}
