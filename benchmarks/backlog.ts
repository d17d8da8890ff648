import type { Result } from './comparison.js';
import { fill } from './kafka.consume.subjects.js';
import { median } from './measure.js';
import { startSubject } from './subject.js';

const EVENTS = 200_000;

/** 200,000 events before a listener of 1 ms: live memory over the second half of the way, beside the first half. */
export async function backlog(brokers: string): Promise<Result> {
  await fill(brokers, EVENTS, 6);
  const module = new URL('./kafka.backlog.subjects.js', import.meta.url).href;
  const subject = await startSubject(module, 'eventing', { brokers, events: String(EVENTS) }, ['--expose-gc']);
  const { latencies: live = [] } = await subject.round();
  await subject.close();
  const middle = live.length / 2;
  const [first, second] = [median(live.slice(0, middle)), median(live.slice(middle))];
  return {
    bench: 'Kafka, 200,000 events waiting, a 1 ms listener',
    metric: 'live memory, median',
    system: 'second half of the way',
    value: second,
    unit: 'MiB',
    reference: 'first half',
    referenceValue: first,
    ratio: second / first,
    target: { text: 'does not grow (≤ 1.1 ×)', met: second / first <= 1.1 },
  };
}
