import { type Comparison, cpu, rate } from './comparison.js';

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
