import { type Comparison, cpu, latency, rate } from './comparison.js';

/** Beside amqplib by hand: the same bytes, headers, confirmations and quorum queues. */
export function rabbitmqBenches({ url }: { readonly url: string }): readonly Comparison[] {
  const both = { module: 'rabbitmq.subjects', settings: { url } };
  const names = (reference: string): readonly [string, string] => ['nestjs-eventing', `amqplib, by hand${reference}`];
  const atMost = cpu({ text: '≤ 1.2 ×', met: (ratio) => ratio <= 1.2 });
  return [
    {
      bench: 'RabbitMQ publish, 1000 sends open',
      ...both,
      ours: 'publishEventing',
      reference: 'publishByHand',
      names: names(''),
      warmUp: 2,
      rounds: 7,
      metrics: [rate({ text: '≥ 0.95 ×', met: (ratio) => ratio >= 0.95 }), atMost],
    },
    {
      bench: 'RabbitMQ consume, at-least-once',
      ...both,
      ours: 'consumeEventing',
      reference: 'consumeByHand',
      names: names(', 64 acknowledged at a time'),
      warmUp: 1,
      rounds: 7,
      metrics: [rate({ text: '≥ 0.9 ×', met: (ratio) => ratio >= 0.9 }), atMost],
    },
    {
      bench: 'RabbitMQ consume, at-least-once',
      ...both,
      ours: 'consumeEventing',
      reference: 'consumeOneByOne',
      names: names(', one acknowledgement each'),
      warmUp: 1,
      rounds: 7,
      metrics: [rate({ text: '≥ 1.3 ×', met: (ratio) => ratio >= 1.3 }), atMost],
    },
    {
      bench: 'RabbitMQ end to end, 200 events/s',
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
