import { expect, it } from 'vitest';
import { startOwnKafkaCluster } from '../../../test/brokers/brokers.js';
import { contextOf } from './kafka.fixture.js';
import { resolveKafkaOptions } from './kafka.options.js';
import { TestService } from './kafka.process.fixture.js';
import { KafkajsCluster } from './kafkajs.cluster.js';
import { FetchAnswerDecoder, encodeFetch } from './kafkajs.fetch.js';

it(
  'a partition is read from its leader alone: whoever has a copy of it may lag behind what was read, and not tell',
  { timeout: 300_000 },
  async ({ skip, onTestFinished }) => {
    const brokers = await startOwnKafkaCluster();
    skip(!brokers.available, 'no Kafka cluster');
    if (!brokers.available) return;
    onTestFinished(() => brokers.close());
    const service = new TestService(brokers.access.brokers, 1);
    onTestFinished(() => service.stop());
    const shop = await service.process({ replicationFactor: 3 }).start(service.channel);
    await shop.publish(service.channel, ['stored'], { key: 'k' });
    const { logger, clock } = contextOf('shop');
    const options = resolveKafkaOptions({ brokers: brokers.access.brokers });
    const watcher = { up: () => undefined, down: () => undefined };
    const cluster = new KafkajsCluster({ options, clientId: 'shop', logger, clock }, watcher);
    onTestFinished(() => cluster.close());
    const leader = (await cluster.layout([service.channel], true)).get(service.channel)?.leaders[0] ?? -1;
    const targets = [{ topic: service.channel, partition: 0, offset: 0 }];
    const answerOf = async (node: number): Promise<string> => {
      const connection = await cluster.node(node, 'read');
      const decode = (bytes: Buffer): ReturnType<FetchAnswerDecoder['decode']> =>
        new FetchAnswerDecoder().decode(bytes, targets);
      const body = encodeFetch(targets, options, 100, 1_000);
      const [found] = await connection.exchange('Fetch', body, decode, 5_000);
      return found?.error?.type ?? `${found?.fetched.records.length} records`;
    };
    for (const { id } of brokers.nodes)
      expect(await answerOf(id)).toBe(id === leader ? '1 records' : 'NOT_LEADER_FOR_PARTITION');
  },
);
