import { type Comparison, cpu, latency, rate } from './comparison.js';
import type { StompSettings } from './stomp.twin.js';

/** What a client needs to reach Artemis. */
export interface StompAccess {
  readonly host: string;
  /** For AMQP 1.0, by which queues are made and emptied. */
  readonly port: number;
  readonly stompPort?: number | undefined;
  readonly username: string;
  readonly password: string;
}

export function stompBenches(access: StompAccess): readonly Comparison[] {
  const { host, port, stompPort, username, password } = access;
  const settings: StompSettings = {
    ...{ host, username, password },
    amqpPort: String(port),
    stompPort: String(stompPort ?? 0),
  };
  const common = { module: 'stomp.subjects', settings, warmUp: 1, rounds: 5 };
  const cheap = { text: '≤ 1.2 ×', met: (ratio: number) => ratio <= 1.2 };
  return [
    {
      ...common,
      bench: 'STOMP (Artemis) publish, 1000 sends open',
      ours: 'publishEventing',
      reference: 'publishByHand',
      names: ['nestjs-eventing', 'stompjs, a receipt for each 128'],
      metrics: [rate({ text: '≥ 0.95 ×', met: (ratio) => ratio >= 0.95 }), cpu(cheap)],
    },
    {
      ...common,
      bench: 'STOMP (Artemis) consume, at-least-once',
      ours: 'consumeEventing',
      reference: 'consumeByHand',
      names: ['nestjs-eventing', 'stompjs, an ACK for each 64'],
      metrics: [rate({ text: '≥ 0.9 ×', met: (ratio) => ratio >= 0.9 }), cpu(cheap)],
    },
    {
      ...common,
      bench: 'STOMP (Artemis) consume, at-least-once',
      ours: 'consumeEventing',
      reference: 'consumeOneByOne',
      names: ['nestjs-eventing', 'stompjs, an ACK for each'],
      metrics: [rate({ text: '≥ 1 ×', met: (ratio) => ratio >= 1 }), cpu()],
    },
    {
      ...common,
      bench: 'STOMP (Artemis) end to end, 200 events/s',
      ours: 'latencyEventing',
      reference: 'latencyByHand',
      names: ['nestjs-eventing', 'stompjs, by hand'],
      metrics: [
        latency(0.5, {
          text: '≤ 1.1 × or 0.5 ms more',
          met: (ratio, ours, reference) => ratio <= 1.1 || ours - reference <= 0.5,
        }),
        latency(0.99, { text: '≤ 1.2 ×', met: (ratio) => ratio <= 1.2 }),
        cpu(cheap),
      ],
    },
  ];
}
