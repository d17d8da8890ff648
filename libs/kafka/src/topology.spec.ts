import { beforeEach, describe, expect, it } from 'vitest';
import { DriverError, type KafkaDriver, type TopicPlan } from './kafka.driver.js';
import { Topology } from './topology.js';

describe('the topology', () => {
  let leaders: Map<string, number[]>;
  let created: string[];
  let refusals: Error[];
  beforeEach(() => {
    leaders = new Map([['there', [1, 1]]]);
    created = [];
    refusals = [];
  });

  const plan = (topic: string): TopicPlan => ({ topic, partitions: 2, replicationFactor: -1, config: { a: 'b' } });
  const driver = {
    layout: (topics: readonly string[]) =>
      Promise.resolve(
        new Map(
          topics.flatMap((topic) => (leaders.has(topic) ? [[topic, { topic, leaders: leaders.get(topic) }]] : [])),
        ),
      ),
    createTopics: (plans: readonly TopicPlan[]) => {
      const refusal = refusals.shift();
      if (refusal !== undefined) return Promise.reject(refusal);
      for (const { topic, partitions } of plans) leaders.set(topic, new Array<number>(partitions).fill(1));
      created.push(...plans.map(({ topic }) => topic));
      return Promise.resolve();
    },
  } as unknown as KafkaDriver;
  const topology = (mode: 'create' | 'check'): Topology => new Topology(driver, mode, plan);

  it('creates what is missing and nothing else', async () => {
    await topology('create').ensure(['there', 'new']);
    expect(created).toEqual(['new']);
  });

  it('under check names what is missing and how to make it', async () => {
    await expect(topology('check').ensure(['there', 'new'])).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(/topic new is missing.*kafka-topics\.sh --create --topic new .*--config a=b/),
    });
    expect(created).toEqual([]);
  });

  it('does not do without a topic because one of its partitions has no leader now', async () => {
    leaders.set('there', [1, -1]);
    await expect(topology('create').ensure(['there'])).resolves.toBeUndefined();
  });

  it('waits for brokers that came back and do not count yet', async () => {
    refusals = [new DriverError('INVALID_REPLICATION_FACTOR', 'all brokers are fenced')];
    await topology('create').ensure(['new']);
    expect(created).toEqual(['new']);
  });

  it('refuses a name that Kafka cannot have', async () => {
    for (const name of ['a b', '', '..', 'ü', 'x'.repeat(250)]) {
      await expect(topology('create').ensure([name])).rejects.toMatchObject({ code: 'EVT_TOPOLOGY' });
    }
  });
});
