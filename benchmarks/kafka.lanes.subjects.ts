import { setTimeout as wait } from 'node:timers/promises';
import { drainTopic } from './kafka.consume.subjects.js';
import type { OrderPlaced } from './order.event.js';
import type { Subject } from './subject.js';

/** Milliseconds that the listener takes. */
const WORK = 20;

/** A slow listener on one partition with many keys. Throws when a key's events came out of order. */
function slow(brokers: string, events: number, concurrency: number): Subject {
  return {
    async round() {
      const latest = new Map<string, number>();
      const work = async (event: OrderPlaced): Promise<void> => {
        const before = latest.get(event.orderId) ?? -1;
        if (event.total <= before) throw new Error(`${event.orderId}: ${event.total} came after ${before}`);
        latest.set(event.orderId, event.total);
        await wait(WORK);
      };
      return drainTopic({ brokers, events, options: { concurrency, retry: { attempts: 1 } }, work });
    },
  };
}

export const sideBySide = ({ brokers = '', events = '' }: Record<string, string>): Subject =>
  slow(brokers, Number(events), 32);
export const oneByOne = ({ brokers = '', events = '' }: Record<string, string>): Subject =>
  slow(brokers, Number(events), 1);
