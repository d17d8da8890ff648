import { expect, it } from 'vitest';
import { startOwnKafkaCluster } from '../../../test/brokers/brokers.js';
import { contextOf, until } from './kafka.fixture.js';
import { Load } from './kafka.load.fixture.js';
import { resolveKafkaOptions } from './kafka.options.js';
import { acceptAll, TestService } from './kafka.process.fixture.js';
import { KafkajsDriver } from './kafkajs.driver.js';

it(
  'loses, repeats and reorders nothing while brokers of a cluster die one after another',
  { timeout: 300_000 },
  async ({ skip, onTestFinished }) => {
    const cluster = await startOwnKafkaCluster();
    skip(!cluster.available, 'no Kafka cluster');
    if (!cluster.available) return;
    onTestFinished(() => cluster.close());
    const service = new TestService(cluster.access.brokers, 6);
    onTestFinished(() => service.stop());
    const topicConfig = { 'min.insync.replicas': '2' };
    const shop = await service
      .process({ replicationFactor: 3, topicConfig }, { publishTimeout: 60_000 })
      .start(service.channel);
    const group = await shop.subscribe('Receipt', service.channel);
    const load = new Load(shop, service.channel);
    for (const node of [0, 1]) {
      const before = load.stored;
      await until('it is under load', () => load.stored > before + 1_000);
      await cluster.node(node).kill();
      const without = load.stored;
      await until('the others go on', () => load.stored > without + 1_000);
      await cluster.node(node).restart();
      await cluster.untilLive(3);
    }
    await load.end();
    expect(load.failures).toEqual([]);
    const reader = await shop.subscribe('Reader', service.channel, acceptAll, { perProcess: true, from: 'earliest' });
    await until('all are there', () => reader.deliveries.length >= load.sent);
    const { received, sent } = load.orders(reader);
    expect(received).toEqual(sent);
    await until('all are handled', () => new Set(group.texts).size > 0 && group.deliveries.length >= load.sent);
  },
);

it(
  'counts as connected while any broker of a cluster answers, and finds it',
  { timeout: 300_000 },
  async ({ skip, onTestFinished }) => {
    const cluster = await startOwnKafkaCluster();
    skip(!cluster.available, 'no Kafka cluster');
    if (!cluster.available) return;
    onTestFinished(() => cluster.close());
    const told: string[] = [];
    const { logger, clock } = contextOf('shop');
    const { brokers } = cluster.access;
    const options = resolveKafkaOptions({ brokers, livenessInterval: 500, livenessTimeout: 4_000 });
    const watcher = { up: () => void told.push('up'), down: (cause: Error) => void told.push(cause.message) };
    const driver = new KafkajsDriver({ options, clientId: 'shop', logger, clock }, watcher);
    onTestFinished(() => driver.close());
    await driver.connect();
    const answers = (): Promise<boolean> =>
      driver.layout(['orders'], true).then(
        () => true,
        () => false,
      );
    // One after another, so that the one on the usual connection is among them.
    for (const index of [0, 1, 2]) {
      await cluster.node(index).suspend();
      await until('another one answers', answers);
      cluster.node(index).resume();
    }
    expect(told).toEqual([]);
    for (const index of [0, 1, 2]) await cluster.node(index).suspend();
    await until('it is told', () => told.length === 1);
    expect(told).toEqual(['no broker has answered for 4000 ms']);
    for (const index of [0, 1, 2]) cluster.node(index).resume();
    await until('it is told', () => told.length === 2);
    expect(told[1]).toBe('up');
    await until('one answers', answers);
  },
);
