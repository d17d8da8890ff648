import 'reflect-metadata';
import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { rabbitmq } from 'nestjs-eventing/rabbitmq';
import { fromFirstToLast } from './first.to.last.js';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import { connectByHand, declare, prefill, sendByHand } from './rabbitmq.twin.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

type Settings = Record<string, string>;

const EVENTS = 50_000;
/** Sends open at one time. */
const OPEN = 1_000;
const PREFETCH = 256;
/** Acknowledged in one frame by hand. */
const BATCH = 64;

function runtimeOf(url: string, service: string, invoke?: (event: OrderPlaced) => void): EventingRuntime {
  return new EventingRuntime(resolveOptions({ service, provider: rabbitmq({ url }) }, quiet), (registry) => ({
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

/** 1000 sends open at all times: as each is confirmed, the next is made. One quorum queue gets all. */
async function sendAll(send: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const sender = async (): Promise<void> => {
    while (next < EVENTS) await send(next++);
  };
  await Promise.all(Array.from({ length: OPEN }, sender));
}

async function fresh(url: string, exchange: string, queue: string): Promise<void> {
  const connection = await connectByHand(url);
  const channel = await connection.createChannel();
  await declare(channel, exchange, queue);
  await channel.purgeQueue(queue);
  await connection.close();
}

export function publishEventing({ url = '' }: Settings): Subject {
  const runtime = runtimeOf(url, 'bench');
  return {
    async prepare() {
      await fresh(url, 'orders', 'bench.published');
      await runtime.start();
      await runtime.events.sendEvent(orderNumber(0));
    },
    async round() {
      await fresh(url, 'orders', 'bench.published');
      return sample(EVENTS, () => sendAll((index) => runtime.events.sendEvent(orderNumber(index))));
    },
    close: () => runtime.stop(),
  };
}

/** A callback for each confirmation, as amqplib's guide has it. */
export function publishByHand({ url = '' }: Settings): Subject {
  let connection: ChannelModel;
  return {
    async prepare() {
      connection = await connectByHand(url);
    },
    async round() {
      await fresh(url, 'orders.twin', 'bench.published.twin');
      const channel = await connection.createConfirmChannel();
      const taken = await sample(EVENTS, () =>
        sendAll(
          (index) =>
            new Promise<void>((resolve, reject) => {
              sendByHand(channel, 'orders.twin', orderNumber(index), (error) => {
                if (error === null) resolve();
                else reject(new Error('not confirmed', { cause: error }));
              });
            }),
        ),
      );
      await channel.close();
      return taken;
    },
    close: () => connection.close(),
  };
}

export function consumeEventing({ url = '' }: Settings): Subject {
  return {
    async round() {
      const service = `bench-${randomUUID()}`;
      // Makes the queue, and leaves.
      const before = runtimeOf(url, service, () => undefined);
      await before.start();
      await before.stop();
      await prefill(url, 'orders', EVENTS);
      const tally = new Tally();
      tally.start();
      const runtime = runtimeOf(url, service, ({ total }) => tally.add(total));
      const taken = await fromFirstToLast(tally, EVENTS, () => runtime.start());
      await runtime.stop();
      tally.check(EVENTS);
      await drop(url, `orders::${service}.Bench`);
      return taken;
    },
  };
}

type Acknowledge = (channel: Channel, message: ConsumeMessage, count: number) => void;

function consumer(url: string, acknowledge: Acknowledge): Subject {
  return {
    async round() {
      const queue = `twin-${randomUUID()}`;
      await fresh(url, 'orders.consumed', queue);
      await prefill(url, 'orders.consumed', EVENTS);
      const tally = new Tally();
      tally.start();
      const connection = await connectByHand(url);
      const taken = await fromFirstToLast(tally, EVENTS, async () => {
        const channel = await connection.createChannel();
        await channel.prefetch(PREFETCH);
        await channel.consume(queue, (message) => {
          if (message === null) return;
          // The same headers read, the same JSON parsed.
          if (message.properties.headers?.['cloudEvents:type'] !== 'orders.placed') return;
          tally.add((JSON.parse(message.content.toString()) as OrderPlaced).total);
          acknowledge(channel, message, tally.count);
        });
      });
      await connection.close();
      tally.check(EVENTS);
      await drop(url, queue);
      return taken;
    },
  };
}

export function consumeByHand({ url = '' }: Settings): Subject {
  return consumer(url, (channel, message, count) => {
    if (count % BATCH === 0 || count === EVENTS) channel.ack(message, true);
  });
}

/** The usual way. */
export function consumeOneByOne({ url = '' }: Settings): Subject {
  return consumer(url, (channel, message) => channel.ack(message));
}

export function latencyEventing({ url = '' }: Settings): Subject {
  const arrived: Arrivals = { on: () => undefined };
  const runtime = runtimeOf(url, `bench-${randomUUID()}`, (event) => arrived.on(event));
  return {
    prepare: () => runtime.start(),
    round: () => paced((event) => runtime.events.sendEvent(event), arrived),
    close: () => runtime.stop(),
  };
}

export function latencyByHand({ url = '' }: Settings): Subject {
  const arrived: Arrivals = { on: () => undefined };
  const connections: ChannelModel[] = [];
  let publish: Channel | undefined;
  return {
    async prepare() {
      const queue = `twin-${randomUUID()}`;
      await fresh(url, 'orders.paced', queue);
      for (let index = 0; index < 2; index++) connections.push(await connectByHand(url));
      publish = await connections[0]?.createConfirmChannel();
      const channel = await connections[1]?.createChannel();
      await channel?.prefetch(PREFETCH);
      await channel?.consume(queue, (message) => {
        if (message === null) return;
        arrived.on(JSON.parse(message.content.toString()) as OrderPlaced);
        channel.ack(message);
      });
    },
    round: () =>
      paced(
        (event) =>
          new Promise((resolve) => {
            if (publish !== undefined) sendByHand(publish, 'orders.paced', event, resolve);
          }),
        arrived,
      ),
    async close() {
      for (const connection of connections) await connection.close();
    },
  };
}

/** What one round leaves would slow down the next. */
async function drop(url: string, queue: string): Promise<void> {
  const connection = await connectByHand(url);
  await (await connection.createChannel()).deleteQueue(queue);
  await connection.close();
}
