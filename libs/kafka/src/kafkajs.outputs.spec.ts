import { describe, expect, it } from 'vitest';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { KafkajsOutputs, queuesOf } from './kafkajs.outputs.js';

const STORED = 0;
const NOT_LEADER = 6;
const TOO_LARGE = 10;
const OWNER = { transactionalId: 'orders-0', producerId: '1', producerEpoch: 0 };
const BATCH = {
  topic: 'out',
  partition: 0,
  records: [{ key: 'k', value: Buffer.from('v'), headers: {}, time: 5 }],
};

/** A cluster whose one leader answers so, one after the other. */
function outputs(...answers: number[]): KafkajsOutputs {
  const cluster = {
    layout: async () => Promise.resolve(new Map([['out', { topic: 'out', leaders: [1] }]])),
    node: async () =>
      Promise.resolve({ exchange: async () => Promise.resolve(new Map([['out/0', answers.shift() ?? STORED]])) }),
    invalidate: () => undefined,
  };
  return new KafkajsOutputs(cluster as unknown as KafkajsCluster, 'transactions', (answer) => answer);
}

describe('outputs of a transaction', () => {
  it('are in doubt when the leader ceased to be one: it may have stored them before, and others have them', async () => {
    const sent = outputs(NOT_LEADER, STORED);
    const queues = queuesOf([BATCH]);
    await expect(sent.produce(OWNER, queues)).rejects.toThrow('NOT_LEADER_FOR_PARTITION');
    expect(sent.unsure).toEqual(['out/0']);
    await sent.produce(OWNER, queues);
    expect(sent.unsure).toEqual([]);
    expect(queues.size).toBe(0);
  });

  it('are certainly not stored when they are refused', async () => {
    const sent = outputs(TOO_LARGE);
    await expect(sent.produce(OWNER, queuesOf([BATCH]))).rejects.toThrow('MESSAGE_TOO_LARGE');
    expect(sent.unsure).toEqual([]);
  });
});
