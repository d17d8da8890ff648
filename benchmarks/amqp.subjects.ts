import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { amqp } from 'nestjs-eventing/amqp';
import type { Connection, Delivery, EventContext, Receiver } from 'rhea';
import {
  closed,
  connectByHand,
  dropQueue,
  freshQueue,
  inOrder,
  prefill,
  senderTo,
  type Settings,
} from './amqp.twin.js';
import { fromFirstToLast } from './first.to.last.js';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 50_000;
/** Sends open at one time. */
const OPEN = 1_000;
const WINDOW = 256;
/** Accepted together by hand. */
const BATCH = 64;

function runtimeOf(given: Settings, service: string, invoke?: (event: OrderPlaced) => void): EventingRuntime {
  const { host = '', port, username = '', password = '' } = given;
  const provider = amqp({ host, port: Number(port), username, password });
  return new EventingRuntime(resolveOptions({ service, provider }, quiet), (registry) => ({
    pipelines: [],
    problems: [],
    listeners:
      invoke === undefined
        ? []
        : [
            {
              label: 'Bench',
              events: [registry.describe(OrderPlaced)],
              options: {},
              invoke: (event) => invoke(event as OrderPlaced),
            },
          ],
  }));
}

export function publishEventing(given: Settings): Subject {
  const runtime = runtimeOf(given, 'bench');
  return {
    async prepare() {
      await freshQueue(given, 'orders', 'bench.published');
      await runtime.start();
      await runtime.events.sendEvent(orderNumber(0));
    },
    async round() {
      await freshQueue(given, 'orders', 'bench.published');
      return sample(EVENTS, () => inOrder(EVENTS, OPEN, (index) => runtime.events.sendEvent(orderNumber(index))));
    },
    async close() {
      await runtime.stop();
      await dropQueue(given, 'bench.published');
    },
  };
}

export function publishByHand(given: Settings): Subject {
  let connection: Connection;
  let send: (order: OrderPlaced) => Promise<void>;
  return {
    async prepare() {
      await freshQueue(given, 'orders.twin', 'bench.published.twin');
      connection = await connectByHand(given);
      send = await senderTo(connection, 'orders.twin');
    },
    async round() {
      await freshQueue(given, 'orders.twin', 'bench.published.twin');
      return sample(EVENTS, () => inOrder(EVENTS, OPEN, (index) => send(orderNumber(index))));
    },
    close: () => closed(connection),
  };
}

export function consumeEventing(given: Settings): Subject {
  return {
    async round() {
      const service = `bench-${randomUUID()}`;
      // Makes the queue, and leaves.
      const before = runtimeOf(given, service, () => undefined);
      await before.start();
      await before.stop();
      await prefill(given, 'orders', EVENTS);
      const tally = new Tally();
      tally.start();
      const runtime = runtimeOf(given, service, ({ total }) => tally.add(total));
      const taken = await fromFirstToLast(tally, EVENTS, () => runtime.start());
      await runtime.stop();
      tally.check(EVENTS);
      await dropQueue(given, `orders:${service}:Bench`);
      return taken;
    },
  };
}

/** Reads the same headers and parses the same JSON. */
function read({ message }: EventContext): OrderPlaced | undefined {
  if (message?.application_properties?.['cloudEvents:type'] !== 'orders.placed') return undefined;
  return JSON.parse(String((message.body as { readonly content: Buffer }).content)) as OrderPlaced;
}

function consumer(given: Settings, accept: (delivery: Delivery, count: number) => void): Subject {
  return {
    async round() {
      const queue = `twin-${randomUUID()}`;
      await freshQueue(given, 'orders.consumed', queue);
      await prefill(given, 'orders.consumed', EVENTS);
      const tally = new Tally();
      tally.start();
      let connection: Connection | undefined;
      const taken = await fromFirstToLast(tally, EVENTS, async () => {
        connection = await connectByHand(given);
        const receiver: Receiver = connection.open_receiver({
          source: { address: `orders.consumed::${queue}` },
          credit_window: WINDOW,
          autoaccept: false,
        });
        receiver.on('message', (context) => {
          const order = read(context);
          if (order === undefined || context.delivery === undefined) return;
          tally.add(order.total);
          accept(context.delivery, tally.count);
        });
      });
      if (connection !== undefined) await closed(connection);
      tally.check(EVENTS);
      await dropQueue(given, queue);
      return taken;
    },
  };
}

/** rhea puts what was accepted in one turn into one frame. */
export function consumeByHand(given: Settings): Subject {
  let batch: Delivery[] = [];
  return consumer(given, (delivery, count) => {
    batch.push(delivery);
    if (batch.length < BATCH && count < EVENTS) return;
    for (const each of batch) each.accept();
    batch = [];
  });
}

/** The usual way. */
export function consumeOneByOne(given: Settings): Subject {
  return consumer(given, (delivery) => delivery.accept());
}

export function latencyEventing(given: Settings): Subject {
  const arrived: Arrivals = { on: () => undefined };
  const service = `bench-${randomUUID()}`;
  const runtime = runtimeOf(given, service, (event) => arrived.on(event));
  return {
    prepare: () => runtime.start(),
    round: () => paced((event) => runtime.events.sendEvent(event), arrived),
    async close() {
      await runtime.stop();
      await dropQueue(given, `orders:${service}:Bench`);
    },
  };
}

export function latencyByHand(given: Settings): Subject {
  const arrived: Arrivals = { on: () => undefined };
  const queue = `twin-${randomUUID()}`;
  const connections: Connection[] = [];
  let send: (order: OrderPlaced) => Promise<void> = () => Promise.resolve();
  return {
    async prepare() {
      await freshQueue(given, 'orders.paced', queue);
      for (let index = 0; index < 2; index++) connections.push(await connectByHand(given));
      const [publishing, consuming] = connections as [Connection, Connection];
      send = await senderTo(publishing, 'orders.paced');
      const receiver = consuming.open_receiver({
        source: { address: `orders.paced::${queue}` },
        credit_window: WINDOW,
        autoaccept: false,
      });
      receiver.on('message', (context) => {
        const order = read(context);
        if (order !== undefined) arrived.on(order);
        context.delivery?.accept();
      });
    },
    round: () => paced(send, arrived),
    async close() {
      for (const connection of connections) await closed(connection);
      await dropQueue(given, queue);
    },
  };
}
