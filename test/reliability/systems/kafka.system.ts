import { randomUUID } from 'node:crypto';
import kafkajs, { type Consumer } from 'kafkajs';
import { eventually } from '../../../libs/testing/src/conformance/eventually.js';
import { type KafkaCluster, startOwnKafkaCluster, type Unavailable } from '../../brokers/brokers.js';
import { CHANNELS, type ChannelName } from '../channels.js';
import { expectationsOf, type Part, partOf, recordOf, startDatabase, type System } from './system.js';

/** Milliseconds for reading all of it. */
const PATIENCE = 300_000;
/** The last message of each partition, put there when all is over: with transactions no offset tells where the end is. */
const END = 'the end';

/** Events by three nodes of Kafka with transactions, outbox and inbox in PostgreSQL. */
export async function kafkaSystem(): Promise<System | Unavailable> {
  const [database, cluster] = await Promise.all([startDatabase(), startOwnKafkaCluster()]);
  const missing = [database, cluster].find((part): part is Unavailable => !part.available);
  if (!database.available || !cluster.available) {
    for (const part of [database, cluster]) if (part.available) await part.close();
    return missing as Unavailable;
  }
  const { brokers } = cluster.access;
  return {
    available: true,
    name: 'kafka',
    database,
    broker: brokers.join(','),
    parts: [partOf('postgres', database), ...nodesOf(cluster)],
    expectations: expectationsOf('transactions'),
    prepare: () => Promise.resolve(),
    async published(found) {
      const client = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING });
      const left = await markEnds(client);
      const consumer = client.consumer({ groupId: `witness-${randomUUID()}` });
      await consumer.connect();
      try {
        await consumer.subscribe({ topics: [...CHANNELS], fromBeginning: true });
        await readAll(consumer, left, found);
      } finally {
        await consumer.disconnect();
      }
    },
    async close() {
      await Promise.all([database.close(), cluster.close()]);
    },
  };
}

/** One node at a time: of three, two go on. */
function nodesOf(cluster: KafkaCluster): Part[] {
  return cluster.nodes.map((node) =>
    partOf(`kafka node ${node.id}`, {
      kill: () => node.kill(),
      async restart() {
        await node.start();
        await cluster.untilLive(cluster.nodes.length);
      },
    }),
  );
}

/** @returns the partitions whose ends are to be met */
async function markEnds(client: kafkajs.Kafka): Promise<Set<string>> {
  const admin = client.admin();
  const producer = client.producer();
  await Promise.all([admin.connect(), producer.connect()]);
  const left = new Set<string>();
  for (const topic of CHANNELS) {
    for (const { partition } of await admin.fetchTopicOffsets(topic)) {
      left.add(`${topic}-${partition}`);
      await producer.send({ topic, messages: [{ partition, value: END }] });
    }
  }
  await Promise.all([admin.disconnect(), producer.disconnect()]);
  return left;
}

async function readAll(
  consumer: Consumer,
  left: Set<string>,
  found: Parameters<System['published']>[0],
): Promise<void> {
  await consumer.run({
    autoCommit: false,
    eachBatch: ({ batch: { topic, partition, messages } }) => {
      for (const { value, headers } of messages) {
        if (String(value) === END) left.delete(`${topic}-${partition}`);
        else found(recordOf(topic as ChannelName, String(value), String(headers?.['ce_id'])));
      }
      return Promise.resolve();
    },
  });
  await eventually('all of the log is read', () => left.size === 0, PATIENCE);
}
