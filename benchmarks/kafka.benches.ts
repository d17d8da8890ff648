import { type Comparison, cpu, latency, memory, rate } from './comparison.js';
import { fill } from './kafka.consume.subjects.js';

/** Events in the topic that consumers read. */
const BACKLOG = 200_000;

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
        memory(),
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
        memory(),
      ],
    },
    {
      bench: 'Kafka end to end, 200 events/s',
      module: 'kafka.latency.subjects',
      ...side,
      settings,
      warmUp: 1,
      rounds: 5,
      metrics: [
        latency(0.5, {
          text: '≤ 1.1 × or 0.5 ms more',
          met: (ratio, ours, reference) => ratio <= 1.1 || ours - reference <= 0.5,
        }),
        latency(0.99),
        cpu(),
      ],
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

/** Two Nest applications on Kafka: ours, and one with Nest's own Kafka client and server. */
export function kafkaNestBenches(brokers: string): readonly KafkaBench[] {
  const settings = { brokers };
  const module = 'kafka.nest.subjects';
  const names = ['nestjs-eventing', '@nestjs/microservices'] as const;
  return [
    ...(['yes', 'no'] as const).map((idempotent): KafkaBench => ({
      bench: 'Kafka publish in Nest, 1000 sends open',
      module,
      ours: 'publishEventing',
      reference: 'publishNest',
      names: [names[0], `${names[1]}, ${idempotent === 'yes' ? 'idempotent as ours' : 'not idempotent, its default'}`],
      settings,
      referenceSettings: { brokers, idempotent },
      warmUp: 1,
      rounds: 5,
      metrics: [rate({ text: '≥ 3 ×', met: (ratio) => ratio >= 3 }), cpu(), memory()],
    })),
    {
      bench: 'Kafka consume in Nest, committed each 200 ms',
      module,
      ours: 'consumeEventing',
      reference: 'consumeNest',
      names,
      settings: { brokers, events: String(BACKLOG) },
      fill: () => fill(brokers, BACKLOG, 6),
      warmUp: 1,
      rounds: 5,
      metrics: [rate({ text: '≥ 3 ×', met: (ratio) => ratio >= 3 }), cpu(), memory()],
    },
    {
      bench: 'Kafka end to end in Nest, 200 events/s',
      module,
      ours: 'latencyEventing',
      reference: 'latencyNest',
      names,
      settings,
      warmUp: 1,
      rounds: 5,
      metrics: [latency(0.5), latency(0.99), cpu()],
    },
  ];
}
