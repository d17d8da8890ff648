import 'reflect-metadata';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, type ListenerOptions, resolveOptions } from 'nestjs-eventing';
import { stomp } from 'nestjs-eventing/stomp';
import { fromFirstToLast } from './first.to.last.js';
import { sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { type Arrivals, paced } from './paced.js';
import { quiet } from './quiet.logger.js';
import { clientOf, createQueue, deleteQueue, headersOf, publish, type StompSettings } from './stomp.twin.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 20_000;
/** Sends open at one time. */
const OPEN = 1000;
/** Messages for one acknowledgement, by hand. */
const ACK_EVERY = 64;
/** Bytes that the broker sends ahead: what a listener's window of 256 asks for. */
const AHEAD = String(256 * 1024);

function runtimeOf(settings: StompSettings, service: string, invoke?: (event: OrderPlaced) => void): EventingRuntime {
  const { host = '', stompPort = '', username = '', password = '' } = settings;
  const provider = stomp({ host, port: Number(stompPort), username, password });
  const options: ListenerOptions = {};
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
              options,
              invoke: async (event) => invoke(event as OrderPlaced),
            },
          ],
  }));
}

/** 1000 `sendEvent` calls open at all times, into a durable queue. */
export function publishEventing(settings: StompSettings): Subject {
  const runtime = runtimeOf(settings, 'bench');
  return {
    async prepare() {
      await runtime.start();
      await runtime.events.sendEvent(orderNumber(0));
    },
    async round() {
      await createQueue(settings, 'orders', 'bench.publish');
      return sample(EVENTS, async () => {
        let next = 0;
        const sender = async (): Promise<void> => {
          while (next < EVENTS) await runtime.events.sendEvent(orderNumber(next++));
        };
        await Promise.all(Array.from({ length: OPEN }, sender));
      });
    },
    async close() {
      await runtime.stop();
      await deleteQueue(settings, 'bench.publish');
    },
  };
}

/** stompjs: the same headers and bytes, persistent, 1000 open, a receipt for each 128. */
export function publishByHand(settings: StompSettings): Subject {
  return {
    async round() {
      await createQueue(settings, 'orders.twin', 'bench.publish.twin');
      const client = await clientOf(settings);
      const taken = await sample(EVENTS, () => publish(client, 'orders.twin', EVENTS, OPEN, orderNumber));
      await client.deactivate();
      return taken;
    },
    close: () => deleteQueue(settings, 'bench.publish.twin'),
  };
}

/** A listener of its own service before a full queue, from its first event on. */
export function consumeEventing(settings: StompSettings): Subject {
  const service = `bench-${randomUUID()}`;
  const queue = `orders:${service}:Bench`;
  const tally = new Tally();
  const open = (): EventingRuntime => runtimeOf(settings, service, (event) => tally.add(event.total));
  return {
    async round() {
      const first = open();
      await first.start();
      await first.stop();
      await fill(settings, 'orders');
      tally.start();
      const runtime = open();
      const taken = await fromFirstToLast(tally, EVENTS, () => runtime.start());
      await runtime.stop();
      tally.check(EVENTS);
      return taken;
    },
    close: () => deleteQueue(settings, queue),
  };
}

/** stompjs, one cumulative ACK for each 64 messages: reads the same headers, parses the same JSON. */
export function consumeByHand(settings: StompSettings): Subject {
  return consumer(settings, 'client', ACK_EVERY);
}

/** stompjs as it is usually written: an ACK for each message. */
export function consumeOneByOne(settings: StompSettings): Subject {
  return consumer(settings, 'client-individual', 1);
}

function consumer(settings: StompSettings, ack: string, every: number): Subject {
  const queue = `bench-${randomUUID()}`;
  return {
    async round() {
      await createQueue(settings, 'orders.twin', queue);
      await fill(settings, 'orders.twin');
      const tally = new Tally();
      tally.start();
      const handle = async (event: OrderPlaced, headers: Record<string, string>): Promise<void> => {
        if (headers['cloudEvents\\ctype'] === 'orders.placed') tally.add(event.total);
      };
      let unacknowledged = 0;
      const client = await clientOf(settings);
      const taken = await fromFirstToLast(tally, EVENTS, async () => {
        client.subscribe(
          `orders.twin::${queue}`,
          (message) => {
            const event = JSON.parse(Buffer.from(message.binaryBody).toString()) as OrderPlaced;
            void handle(event, message.headers as Record<string, string>).then(() => {
              if (++unacknowledged < every && tally.count < EVENTS) return;
              unacknowledged = 0;
              message.ack();
            });
          },
          { ack, 'consumer-window-size': AHEAD },
        );
        return Promise.resolve();
      });
      await client.deactivate();
      tally.check(EVENTS);
      return taken;
    },
    close: () => deleteQueue(settings, queue),
  };
}

export function latencyEventing(settings: StompSettings): Subject {
  const service = `bench-${randomUUID()}`;
  const arrived: Arrivals = { on: () => undefined };
  const runtime = runtimeOf(settings, service, (event) => arrived.on(event));
  return {
    prepare: () => runtime.start(),
    round: () => paced((event) => runtime.events.sendEvent(event), arrived),
    async close() {
      await runtime.stop();
      await deleteQueue(settings, `orders:${service}:Bench`);
    },
  };
}

/** stompjs with a connection for each way. */
export function latencyByHand(settings: StompSettings): Subject {
  const queue = `bench-${randomUUID()}`;
  const arrived: Arrivals = { on: () => undefined };
  let stop = (): Promise<unknown> => Promise.resolve();
  let send = (_event: OrderPlaced): Promise<unknown> => Promise.resolve();
  return {
    async prepare() {
      await createQueue(settings, 'orders.twin', queue);
      const [sender, receiver] = [await clientOf(settings), await clientOf(settings)];
      let receipts = 0;
      send = (event) =>
        new Promise((resolve) => {
          const receipt = `r${++receipts}`;
          sender.watchForReceipt(receipt, resolve);
          const headers = { ...headersOf(event), receipt };
          sender.publish({ destination: 'orders.twin', headers, binaryBody: Buffer.from(JSON.stringify(event)) });
        });
      receiver.subscribe(
        `orders.twin::${queue}`,
        (message) => {
          arrived.on(JSON.parse(Buffer.from(message.binaryBody).toString()) as OrderPlaced);
          message.ack();
        },
        { ack: 'client-individual', 'consumer-window-size': AHEAD },
      );
      stop = () => Promise.all([sender.deactivate(), receiver.deactivate()]);
    },
    round: () => paced((event) => send(event), arrived),
    async close() {
      await stop();
      await deleteQueue(settings, queue);
    },
  };
}

async function fill(settings: StompSettings, address: string): Promise<void> {
  const client = await clientOf(settings);
  await publish(client, address, EVENTS, OPEN, orderNumber);
  await client.deactivate();
}
