import type { Result } from './comparison.js';
import { fill } from './kafka.consume.subjects.js';
import { startSubject } from './subject.js';

const EVENTS = 200_000;

/** 200,000 events before a listener of 1 ms: the live heap at the tenth of the way, and its highest after that. */
export async function backlog(brokers: string): Promise<Result> {
  await fill(brokers, EVENTS, 6);
  const module = new URL('./kafka.backlog.subjects.js', import.meta.url).href;
  const subject = await startSubject(module, 'eventing', { brokers, events: String(EVENTS) }, ['--expose-gc']);
  const { latencies: heap = [] } = await subject.round();
  await subject.close();
  const [first = 0, ...later] = heap;
  const highest = Math.max(...later);
  return {
    bench: 'Kafka, 200,000 events waiting, a 1 ms listener',
    metric: 'live memory, highest',
    system: 'at any tenth of the way',
    value: highest,
    unit: 'MiB',
    reference: 'at the first tenth',
    referenceValue: first,
    ratio: highest / first,
    target: { text: 'does not grow (≤ 1.25 ×)', met: highest / first <= 1.25 },
  };
}
