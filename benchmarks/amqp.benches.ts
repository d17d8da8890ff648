import { type Comparison, cpu, latency, rate } from './comparison.js';

export interface AmqpAccess {
  readonly host: string;
  readonly port: number;
  readonly username: string;
  readonly password: string;
}

/** Beside rhea by hand: the same bytes, headers, confirmations and durable queues. */
export function amqpBenches({ host, port, username, password }: AmqpAccess): readonly Comparison[] {
  const both = { module: 'amqp.subjects', settings: { host, port: String(port), username, password } };
  const names = (reference: string): readonly [string, string] => ['nestjs-eventing', `rhea, by hand${reference}`];
  const atMost = cpu({ text: '≤ 1.2 ×', met: (ratio) => ratio <= 1.2 });
  return [
    {
      bench: 'AMQP 1.0 (Artemis) publish, 1000 sends open',
      ...both,
      ours: 'publishEventing',
      reference: 'publishByHand',
      names: names(''),
      warmUp: 2,
      rounds: 7,
      metrics: [rate({ text: '≥ 0.95 ×', met: (ratio) => ratio >= 0.95 }), atMost],
    },
    {
      bench: 'AMQP 1.0 (Artemis) consume, at-least-once',
      ...both,
      ours: 'consumeEventing',
      reference: 'consumeByHand',
      names: names(', 64 accepted at a time'),
      warmUp: 1,
      rounds: 7,
      metrics: [rate({ text: '≥ 0.9 ×', met: (ratio) => ratio >= 0.9 }), atMost],
    },
    {
      bench: 'AMQP 1.0 (Artemis) consume, at-least-once',
      ...both,
      ours: 'consumeEventing',
      reference: 'consumeOneByOne',
      names: names(', one acceptance each'),
      warmUp: 1,
      rounds: 7,
      metrics: [rate({ text: '≥ 1.0 ×', met: (ratio) => ratio >= 1 }), atMost],
    },
    {
      bench: 'AMQP 1.0 (Artemis) end to end, 200 events/s',
      ...both,
      ours: 'latencyEventing',
      reference: 'latencyByHand',
      names: names(''),
      warmUp: 1,
      rounds: 5,
      metrics: [
        latency(0.5, {
          text: '≤ 1.1 × or 0.5 ms more',
          met: (ratio, ours, reference) => ratio <= 1.1 || ours - reference <= 0.5,
        }),
        latency(0.99, { text: '≤ 1.2 ×', met: (ratio) => ratio <= 1.2 }),
        cpu(),
      ],
    },
  ];
}
