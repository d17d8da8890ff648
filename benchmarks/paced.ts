import { setInterval } from 'node:timers/promises';
import { type Sample, sample } from './measure.js';
import { orderNumber, type OrderPlaced } from './order.event.js';
import { Tally } from './tally.js';

const EVENTS = 1000;
/** Milliseconds between two events: 200 events a second. */
const PAUSE = 5;

/** Sends one event each 5 ms and notes how long each takes until its listener is called. */
export async function paced(send: (event: OrderPlaced) => Promise<unknown>, arrived: Arrivals): Promise<Sample> {
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

export interface Arrivals {
  /** Called by the listener, with each event. */
  on: (event: OrderPlaced) => void;
}
