import { Kafka, logLevel } from 'kafkajs';
import { afterAll, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import {
  startOwnKafka,
  startOwnKafkaCluster,
  type KafkaAccess,
  type KafkaBroker,
  type KafkaSecurity,
} from './brokers.js';

/** The first run of all resolves the jars. */
const client = (access: KafkaAccess) => new Kafka({ ...access, logLevel: logLevel.NOTHING });

describe('a Kafka of a test alone', () => {
  let kafka: KafkaBroker | undefined;

  beforeAll(async () => {
    const had = await startOwnKafka();
    if (had.available) kafka = had;
  });
  beforeEach(({ skip }) => skip(!kafka, 'no Kafka'));
  afterAll(() => kafka?.close());

  it('takes a record and gives it back', async () => {
    await createTopic(own().access, 'orders');
    expect(await produce(own().access, 'orders', 'placed')).toBe('0');
    expect(await consume(own().access, 'orders', 1)).toEqual(['placed']);
  });

  it('refuses a topic that nobody created', async () => {
    await expect(produce(own().access, 'mistyped', 'x')).rejects.toThrow('does not host this topic-partition');
  });

  it('comes back after a crash, on the same port and with its records', async () => {
    const { brokers } = own().access;
    await own().kill();
    await expect(produce(own().access, 'orders', 'lost', 0)).rejects.toThrow('ECONNREFUSED');
    await own().restart();
    expect(own().access.brokers).toEqual(brokers);
    expect(await produce(own().access, 'orders', 'again')).toBe('1');
    expect(await consume(own().access, 'orders', 2)).toEqual(['placed', 'again']);
  });

  it('answers nobody while it is suspended', async () => {
    await own().suspend();
    const sent = produce(own().access, 'orders', 'late');
    const patience = new Promise((resolve) => setTimeout(resolve, 300, 'no answer'));
    expect(await Promise.race([sent, patience])).toBe('no answer');
    await own().resume();
    expect(await sent).toBe('2');
  });

  it('comes back without its topics when wiped', async () => {
    await own().wipe();
    const admin = client(own().access).admin();
    await admin.connect();
    expect(await admin.listTopics()).toEqual([]);
    await admin.disconnect();
  });

  function own(): KafkaBroker {
    if (!kafka) throw new Error('The test should have been skipped.');
    return kafka;
  }
});

const REFUSALS: [KafkaSecurity, string][] = [
  ['sasl-plain', 'Invalid username or password'],
  ['tls', 'Closed connection'],
  ['sasl-tls', 'Invalid username or password'],
];

it.for(REFUSALS)('lets in only who is entitled: %s', async ([security, refusal], { skip, onTestFinished }) => {
  const kafka = await startOwnKafka({ security });
  if (!kafka.available) {
    skip(kafka.reason);
    return;
  }
  onTestFinished(() => kafka.close());
  await createTopic(kafka.access, 'orders');
  expect(await produce(kafka.access, 'orders', 'placed')).toBe('0');

  const { brokers, ssl, sasl } = kafka.access;
  const stranger = sasl ? { brokers, ...(ssl && { ssl }), sasl: { ...sasl, password: 'x' } } : { brokers };
  await expect(produce(stranger, 'orders', 'x', 0)).rejects.toThrow(refusal);
});

it('keeps what three nodes acknowledged when one of them is killed', async ({ skip, onTestFinished }) => {
  const cluster = await startOwnKafkaCluster();
  if (!cluster.available) {
    skip(cluster.reason);
    return;
  }
  onTestFinished(() => cluster.close());
  await createTopic(cluster.access, 'orders');
  await produce(cluster.access, 'orders', 'placed');
  await cluster.node(0).kill();
  await cluster.untilLive(2);
  expect(await consume(cluster.access, 'orders', 1)).toEqual(['placed']);
  await cluster.node(0).restart();
  await cluster.untilLive(3);
});

it('is shared by the run', async ({ skip }) => {
  const brokers = inject('kafkaBrokers');
  skip(brokers.length === 0, 'no Kafka');
  const admin = client({ brokers }).admin();
  await admin.connect();
  expect((await admin.describeCluster()).brokers).toHaveLength(1);
  await admin.disconnect();
});

async function createTopic(access: KafkaAccess, topic: string): Promise<void> {
  const admin = client(access).admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  await admin.disconnect();
}

async function produce(access: KafkaAccess, topic: string, value: string, retries = 5): Promise<string | undefined> {
  const producer = new Kafka({ ...access, retry: { retries }, logLevel: logLevel.NOTHING }).producer();
  try {
    await producer.connect();
    const [result] = await producer.send({ topic, messages: [{ value }] });
    return result?.baseOffset;
  } finally {
    await producer.disconnect();
  }
}

async function consume(access: KafkaAccess, topic: string, count: number): Promise<string[]> {
  const consumer = client(access).consumer({ groupId: `reader-${Date.now()}` });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  const values: string[] = [];
  await new Promise<void>((resolve, reject) => {
    const eachMessage = async ({ message }: { message: { value: Buffer | null } }) => {
      values.push(String(message.value));
      if (values.length === count) resolve();
    };
    consumer.run({ eachMessage }).catch(reject);
  });
  await consumer.disconnect();
  return values;
}
