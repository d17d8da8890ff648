import 'reflect-metadata';
import { AsyncLocalStorage } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import { EventingRuntime, resolveOptions } from 'nestjs-eventing';
import { type Sample, sample } from './measure.js';
import { orderNumber, OrderPlaced } from './order.event.js';
import { quiet } from './quiet.logger.js';
import type { Subject } from './subject.js';
import { Tally } from './tally.js';

const EVENTS = 100_000;
/** Sends open at one time. */
const OPEN = 100;

/** sendEvent → bytes → in-memory broker → bytes → listener, and the round ends when the last listener has returned. */
export function eventing(): Subject {
  const handled = new Tally();
  const runtime = new EventingRuntime(resolveOptions({ service: 'bench' }, quiet), (registry) => ({
    pipelines: [],
    problems: [],
    listeners: [
      {
        label: 'Bench',
        events: [registry.describe(OrderPlaced)],
        options: {},
        invoke: async (event) => handled.add((event as OrderPlaced).total),
      },
    ],
  }));
  return {
    prepare: () => runtime.start(),
    round: () =>
      sample(EVENTS, async () => {
        handled.start();
        for (let first = 0; first < EVENTS; first += OPEN) {
          const sends: Promise<unknown>[] = [];
          for (let index = first; index < first + OPEN; index++)
            sends.push(runtime.events.sendEvent(orderNumber(index)));
          await Promise.all(sends);
          await handled.reached(first + OPEN);
        }
        handled.check(EVENTS);
      }),
    close: () => runtime.stop(),
  };
}

/** By hand: a UUID, an AsyncLocalStorage scope, JSON to bytes and back, one call. No broker, no order, no retry. */
export function byHand(): Subject {
  const handled = new Tally();
  const storage = new AsyncLocalStorage<{ id: string }>();
  const listener = async (event: OrderPlaced): Promise<void> => handled.add(event.total);
  const send = (event: OrderPlaced): Promise<void> =>
    storage.run({ id: randomUUID() }, async () => {
      const bytes = Buffer.from(JSON.stringify(event));
      await listener(JSON.parse(bytes.toString()) as OrderPlaced);
    });
  return {
    round: (): Promise<Sample> =>
      sample(EVENTS, async () => {
        handled.start();
        for (let first = 0; first < EVENTS; first += OPEN) {
          const sends: Promise<unknown>[] = [];
          for (let index = first; index < first + OPEN; index++) sends.push(send(orderNumber(index)));
          await Promise.all(sends);
        }
        handled.check(EVENTS);
      }),
  };
}
