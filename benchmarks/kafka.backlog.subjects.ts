import { setTimeout as wait } from 'node:timers/promises';
import { drainTopic } from './kafka.consume.subjects.js';
import type { Subject } from './subject.js';

/** A listener of 1 ms before a backlog. `latencies` carries the live heap in MiB, taken 40 times on the way. */
export function eventing({ brokers = '', events = '' }: Record<string, string>): Subject {
  const total = Number(events);
  return {
    async round() {
      const heap: number[] = [];
      let handled = 0;
      const taken = await drainTopic({
        brokers,
        events: total,
        options: { concurrency: 64 },
        work: async () => {
          if (++handled % Math.floor(total / 40) === 0) heap.push(liveHeap());
          await wait(1);
        },
      });
      return { ...taken, latencies: heap };
    },
  };
}

function liveHeap(): number {
  (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, external, arrayBuffers } = process.memoryUsage();
  return (heapUsed + Math.max(external, arrayBuffers)) / 1024 / 1024;
}
