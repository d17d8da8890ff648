import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import { Event, EventingRuntime, type ListenerDefinition, type ListenerOptions, resolveOptions } from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { clientOf } from './kafka.twin.js';
import { sample } from './measure.js';
import { OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

type Settings = Record<string, string>;

/** Milliseconds between two commits of positions, on the side that has no transactions. */
const COMMIT_INTERVAL = 100;
/** Many, so that neither side waits for the broker's answer to one output before it handles the next event. */
const CONCURRENCY = 256;

/** What the listener sends for each order: the same order. */
@Event({ name: 'orders.copied', channel: 'copies', key: 'orderId' })
class OrderCopied extends OrderPlaced {}

interface Copying {
  readonly brokers: string;
  readonly guarantee: string | undefined;
  readonly service: string;
  /** Where the events come from. */
  readonly input: string;
  readonly output: string;
  /** @default from now on */
  readonly from?: ListenerOptions['from'];
  handled(order: OrderPlaced): void;
  /** Called with each output; without it nobody listens. */
  readonly copied?: (order: OrderPlaced) => void;
}

/** A listener that sends one output for each event. */
function copying({ brokers, guarantee, service, input, output, from, handled, copied }: Copying): EventingRuntime {
  const exactlyOnce = guarantee === 'exactly-once';
  const provider = kafka({
    brokers: brokers.split(','),
    ...(exactlyOnce ? { transactions: true } : { commitInterval: COMMIT_INTERVAL }),
  });
  const events = { 'orders.placed': { channel: input }, 'orders.copied': { channel: output } };
  const runtime: EventingRuntime = new EventingRuntime(
    resolveOptions({ service, provider, events }, quiet),
    (registry) => {
      const [placed, made] = [registry.describe(OrderPlaced), registry.describe(OrderCopied)];
      const copy: ListenerDefinition = {
        label: 'Bench',
        events: [placed],
        options: {
          ...{ from: from ?? 'first-subscription', concurrency: CONCURRENCY },
          ...(exactlyOnce ? { guarantee: 'exactly-once' } : {}),
        },
        invoke: async (event) => {
          await runtime.events.sendEvent(Object.assign(new OrderCopied(), event));
          handled(event as OrderPlaced);
        },
      };
      const watch: ListenerDefinition = {
        label: 'Watch',
        events: [made],
        options: {},
        invoke: (event) => copied?.(event as OrderPlaced),
      };
      return { pipelines: [], problems: [], listeners: copied === undefined ? [copy] : [copy, watch] };
    },
  );
  return runtime;
}

/** Resolves when the group's positions are behind all events: under transactions the outputs are visible then. */
async function committed(brokers: string, groupId: string, events: number): Promise<void> {
  const admin = clientOf(brokers).admin();
  await admin.connect();
  for (;;) {
    const [found] = await admin.fetchOffsets({ groupId, topics: ['orders'] });
    const behind = found?.partitions.reduce((sum, { offset }) => sum + Math.max(0, Number(offset)), 0) ?? 0;
    if (behind >= events) break;
    await wait(10);
  }
  await admin.disconnect();
}

/** Fails unless each event has one output, as a reader of committed messages sees it. */
async function checkOutputs(brokers: string, topic: string, events: number): Promise<void> {
  const tally = new Tally();
  tally.start();
  const consumer = clientOf(brokers).consumer({ groupId: `check-${randomUUID()}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { value } of batch.messages) tally.add((JSON.parse(String(value)) as OrderPlaced).total);
    },
  });
  await tally.reached(events);
  // One too many would come soon.
  await wait(200);
  await consumer.disconnect();
  tally.check(events);
}

/** From the first event of a backlog until all of it is handled, its outputs stored, and the positions committed. */
export function throughput({ brokers = '', events = '', guarantee }: Settings): Subject {
  const total = Number(events);
  return {
    async round() {
      const service = `bench-${randomUUID()}`;
      const output = `copies-${randomUUID()}`;
      const tally = new Tally();
      tally.start();
      const started = tally.reached(1);
      const runtime = copying({
        ...{ brokers, guarantee, service, input: 'orders', output, from: 'earliest' },
        handled: (order) => tally.add(order.total),
      });
      await runtime.start();
      await started;
      const before = tally.count;
      const taken = await sample(total - before, async () => {
        await tally.reached(total);
        await committed(brokers, `${service}.Bench`, total);
      });
      await runtime.stop();
      tally.check(total);
      await checkOutputs(brokers, output, total);
      return taken;
    },
  };
}

/** From the call that sends an event to the call of the listener of its output, at 200 events/s. */
export function latency({ brokers = '', guarantee }: Settings): Subject {
  const arrived: Arrivals = { on: () => undefined };
  // Both sides are at it at one time: each has channels of its own.
  const run = randomUUID();
  const runtime = copying({
    ...{ brokers, guarantee, service: `bench-${run}`, input: `orders-${run}`, output: `copies-${run}` },
    handled: () => undefined,
    copied: (order) => arrived.on(order),
  });
  return {
    prepare: () => runtime.start(),
    round: () => paced((event) => runtime.events.sendEvent(event), arrived),
    close: () => runtime.stop(),
  };
}
