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

/** What one convenience costs over the same application without it. */
const price = (
  name: string,
  convenience: string,
  most?: number,
  bare: readonly [string, string] = ['nothing', 'nothing bound'],
): Comparison => ({
  bench: `the price of ${name}, in memory`,
  module: 'conveniences.subjects',
  ours: 'application',
  reference: 'application',
  names: [name, bare[1]],
  settings: { with: convenience },
  referenceSettings: { with: bare[0] },
  warmUp: 2,
  rounds: 9,
  metrics: [
    cpu(
      most === undefined
        ? undefined
        : { text: `≤ ${most} µs more`, met: (_ratio, ours, reference) => ours - reference <= most },
    ),
  ],
});

/** In process: what conveniences cost, and what other packages of Nest take to hand over an object. */
export const nestBenches: readonly Comparison[] = [
  price('one pipeline', 'pipeline', 0.3),
  price('a guard', 'guard', 0.5),
  price('an interceptor', 'interceptor'),
  price('request scope', 'scope'),
  price('class-validator, two rules, both ways', 'validation', undefined, ['plain', 'the same event without rules']),
  price('tracing without an SDK', 'tracing'),
  ...(['cqrs', 'eventEmitter'] as const).map((peer): Comparison => ({
    bench: 'in process, beside objects handed over',
    module: 'conveniences.subjects',
    ours: 'application',
    reference: peer,
    referenceModule: 'peers.subjects',
    names: ['nestjs-eventing, as bytes', `@nestjs/${peer === 'cqrs' ? 'cqrs' : 'event-emitter'}, by reference`],
    settings: { with: 'nothing' },
    warmUp: 2,
    rounds: 9,
    metrics: [cpu(peer === 'cqrs' ? { text: '≤ 2 ×', met: (ratio) => ratio <= 2 } : undefined)],
  })),
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
