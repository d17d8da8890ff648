import { type Comparison, cpu, latency, rate } from './comparison.js';

/** Beside what Nest applications on RabbitMQ use today. */
export function rabbitmqPeerBenches(url: string): readonly Comparison[] {
  return [
    { peer: 'nest', name: '@nestjs/microservices' },
    { peer: 'golevelup', name: '@golevelup/nestjs-rabbitmq' },
  ].flatMap(({ peer, name }): Comparison[] => {
    const sides = {
      module: 'rabbitmq.peers.subjects',
      names: ['nestjs-eventing', name] as const,
      settings: { url, peer: 'ours' },
      referenceSettings: { url, peer },
    };
    const thrifty = { text: '≤ 0.6 ×', met: (ratio: number): boolean => ratio <= 0.6 };
    return [
      {
        ...sides,
        bench: 'RabbitMQ consume in Nest, a durable quorum queue',
        ours: 'consume',
        reference: 'consume',
        warmUp: 1,
        rounds: 5,
        metrics: [rate({ text: '> 1 ×', met: (ratio) => ratio > 1 }), cpu(peer === 'nest' ? thrifty : undefined)],
      },
      {
        ...sides,
        bench: 'RabbitMQ end to end in Nest, 200 events/s',
        ours: 'latency',
        reference: 'latency',
        warmUp: 1,
        rounds: 5,
        metrics: [latency(0.5), latency(0.99, { text: '< 1 ×', met: (ratio) => ratio < 1 }), cpu()],
      },
    ];
  });
}
