import { cpu, latency, rate } from './comparison.js';
import type { KafkaBench } from './kafka.benches.js';
import { fill } from './kafka.consume.subjects.js';

/** Events in the topic. */
const BACKLOG = 50_000;

/** A listener with one output an event: by transactions, and at least once with positions committed each 100 ms. */
export function kafkaExactlyOnceBenches(brokers: string): readonly KafkaBench[] {
  const sides = {
    module: 'kafka.exactly-once.subjects',
    names: ['exactly-once', 'at-least-once, committed each 100 ms'] as const,
    settings: { brokers, events: String(BACKLOG), guarantee: 'exactly-once' },
    referenceSettings: { brokers, events: String(BACKLOG) },
    warmUp: 1,
    rounds: 5,
  };
  return [
    {
      ...sides,
      bench: 'Kafka, one output an event',
      ours: 'throughput',
      reference: 'throughput',
      fill: () => fill(brokers, BACKLOG, 6),
      metrics: [rate({ text: '≥ 0.5 ×', met: (ratio) => ratio >= 0.5 }), cpu()],
    },
    {
      ...sides,
      bench: 'Kafka, one output an event, from event to output at 200 events/s',
      ours: 'latency',
      reference: 'latency',
      metrics: [latency(0.5), latency(0.99), cpu()],
    },
  ];
}
