import { type Comparison, cpu, latency, rate } from './comparison.js';
import { fill } from './kafka.consume.subjects.js';

/** Events in the topic that consumers read. */
const BACKLOG = 200_000;

/** Needs no broker. */
export const memoryBenches: readonly Comparison[] = [
  {
    bench: 'in memory, bytes and all',
    module: 'memory.subjects',
    ours: 'eventing',
    reference: 'byHand',
    names: ['nestjs-eventing, memory', 'UUID + AsyncLocalStorage + JSON, by hand'],
    warmUp: 2,
    rounds: 9,
    metrics: [rate(), cpu({ text: '≤ 1.5 ×', met: (ratio) => ratio <= 1.5 })],
  },
];

export interface KafkaBench extends Comparison {
  /** Each has a broker of its own, filled by this. */
  readonly fill?: (brokers: string) => Promise<void>;
}

export function kafkaBenches(brokers: string): readonly KafkaBench[] {
  const settings = { brokers };
  const side = { ours: 'eventing', reference: 'byHand', names: ['nestjs-eventing', 'kafkajs, by hand'] as const };
  return [
    {
      bench: 'Kafka publish, 1000 sends open',
      module: 'kafka.publish.subjects',
      ...side,
      settings,
      warmUp: 2,
      rounds: 7,
      metrics: [
        rate({ text: '≥ 0.9 ×', met: (ratio) => ratio >= 0.9 }),
        cpu({ text: '≤ 1.15 ×', met: (ratio) => ratio <= 1.15 }),
      ],
    },
    {
      bench: 'Kafka consume, at-least-once',
      module: 'kafka.consume.subjects',
      ...side,
      settings: { brokers, events: String(BACKLOG) },
      fill: () => fill(brokers, BACKLOG, 6),
      warmUp: 2,
      rounds: 7,
      metrics: [
        rate({ text: '≥ 0.9 ×', met: (ratio) => ratio >= 0.9 }),
        cpu({ text: '≤ 1.15 ×', met: (ratio) => ratio <= 1.15 }),
      ],
    },
    {
      bench: 'Kafka end to end, 200 events/s',
      module: 'kafka.latency.subjects',
      ...side,
      settings,
      warmUp: 1,
      rounds: 3,
      metrics: [latency(0.5), latency(0.99), cpu()],
    },
    {
      bench: 'Kafka, a 20 ms listener, one partition',
      module: 'kafka.lanes.subjects',
      ours: 'sideBySide',
      reference: 'oneByOne',
      names: ['concurrency 32', 'one at a time'],
      settings: { brokers, events: '2000' },
      referenceSettings: { brokers, events: '2000' },
      fill: () => fill(brokers, 2000, 1, 500),
      warmUp: 0,
      rounds: 1,
      metrics: [rate({ text: '≥ 20 ×', met: (ratio) => ratio >= 20 })],
    },
  ];
}
