import { randomInt } from 'node:crypto';
import kafkajs from 'kafkajs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { startOwnKafka, startOwnKafkaCluster, type KafkaBroker } from '../../../test/brokers/brokers.js';
import { until } from './kafka.fixture.js';
import { acceptAll, TestService } from './kafka.process.fixture.js';
import { Relays } from './kafka.relay.fixture.js';
import { letterOf } from '../../eventing/src/scripted.provider.fixture.js';
import { StallingNetwork } from './stalling.network.fixture.js';

const brokers = inject('kafkaBrokers');
const PATIENCE = 300_000;
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(brokers.length === 0)('transactions on Kafka', () => {
  let service: TestService;
  let relays: Relays;
  beforeEach(async () => {
    service = new TestService(brokers);
    relays = await new Relays(service).open();
  });
  afterEach(() => service.stop());

  it('commit outputs and positions together, soon, and again after a restart', async () => {
    const { process } = await relays.process();
    await relays.send(500);
    await relays.expectFlawless();
    await process.stop();
    await relays.process();
    await relays.send(10);
    await relays.expectFlawless();
  });

  it('let nobody see an output twice or out of order, however often processes die', async () => {
    for (let life = 0; life < 4; life++) {
      const { process } = await relays.process();
      const before = relays.arrived;
      const end = relays.stream();
      await until('it is at work', () => relays.arrived > before + 20);
      await pause(randomInt(120));
      process.network.cut();
      await end();
    }
    await relays.process();
    await relays.expectFlawless();
  });

  it('are closed to a process that was suspended beyond its session, whatever it still had under way', async () => {
    for (let round = 0; round < 3; round++) {
      const network = new StallingNetwork();
      const zombie = await relays.process({ openSocket: network.open });
      const before = relays.arrived;
      const end = relays.stream();
      await until('it is at work', () => relays.arrived > before + 20);
      await pause(randomInt(120));
      network.stall();
      const heir = await relays.process();
      await until('its heir has taken over', () => heir.received.deliveries.length > 0);
      network.go();
      await pause(500);
      await end();
      await relays.expectFlawless();
      await zombie.process.stop();
      await heir.process.stop();
    }
  });

  it('share the work between processes that come and go', async () => {
    const first = await relays.process();
    const sends = [relays.send(300)];
    const second = await relays.process();
    sends.push(relays.send(300));
    await until('both have a share', () => second.received.deliveries.length > 20);
    await first.process.stop();
    sends.push(relays.send(300));
    await Promise.all(sends);
    await relays.expectFlawless();
  });

  it('store a dead letter with the position, or not at all', async () => {
    let settled = 0;
    const settle = (delivery: Parameters<typeof relays.accept>[0]): void => {
      const { key, headers, body, time, position } = delivery;
      const letter = letterOf({ id: `${position}-${settled}`, message: { key, headers, body, time, position } });
      void delivery.settle({ kind: 'reject', letter });
      settled++;
    };
    const { process } = await relays.process({}, settle);
    await relays.send(200);
    await until('some are settled', () => settled > 100);
    process.network.cut();
    const last = await relays.process({}, settle);
    const letters = async (): Promise<string[]> => {
      const { letters: found } = await last.process.provider.deadLetters.scan({ limit: 1_000 });
      return found.map(({ message }) => Buffer.from(message.body).toString());
    };
    await until('all are there', async () => new Set(await letters()).size === 200);
    expect(await letters()).toHaveLength(200);
  });

  it('stand still while the broker refuses an output, say so, and lose nothing', async () => {
    const { process } = await relays.process({ partitions: 1 }, (delivery) => {
      const text = delivery.position.endsWith('@5') ? 'x'.repeat(200_000) : undefined;
      const outputs = [relays.output(delivery, text === undefined ? {} : { body: Buffer.from(text) })];
      void delivery.settle({ kind: 'accept', outputs });
    });
    const limit = (bytes: string): Promise<unknown> =>
      service.withAdmin((admin) =>
        admin.alterConfigs({
          validateOnly: false,
          resources: [
            {
              type: kafkajs.ConfigResourceTypes.TOPIC,
              name: relays.out,
              configEntries: [{ name: 'max.message.bytes', value: bytes }],
            },
          ],
        }),
      );
    await limit('100000');
    await relays.send(60);
    await until('it is told', () => process.context.lines.some((line) => line.startsWith('error EVT_PUBLISH_FAILED')));
    expect(relays.arrived).toBeLessThan(60);
    await limit('1000000');
    await until('all arrive', () => relays.arrived === 60);
  });

  it('of others are read when they are committed, and passed over when they are aborted', async () => {
    const { process, received } = await relays.process({}, acceptAll);
    const client = new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING });
    const producer = client.producer({
      transactionalId: `${service.name}-foreign`,
      maxInFlightRequests: 1,
      idempotent: true,
    });
    await producer.connect();
    const send = async (text: string): Promise<kafkajs.Transaction> => {
      const transaction = await producer.transaction();
      await transaction.send({ topic: service.channel, messages: [{ key: 'k', value: text }] });
      return transaction;
    };
    const committed = await send('committed');
    await pause(500);
    expect(received.texts).toEqual([]);
    // What is not committed is nothing to catch up with.
    expect(await received.handle?.lag()).toBe(0);
    await committed.commit();
    await until('it arrives', () => received.texts.length === 1);
    await (await send('aborted')).abort();
    await (await send('last')).commit();
    await until('the last arrives', () => received.texts.length === 2);
    expect(received.texts).toEqual(['committed', 'last']);
    await until('nothing is left', async () => (await received.handle?.lag()) === 0);
    await producer.disconnect();
    await process.stop();
  });
});

describe('transactions on a Kafka that is in trouble', () => {
  let kafka: KafkaBroker | undefined;
  let service: TestService;
  beforeAll(async () => {
    const had = await startOwnKafka();
    if (had.available) kafka = had;
  }, PATIENCE);
  beforeEach(({ skip }) => {
    skip(kafka === undefined, 'no Kafka');
    service = new TestService(own().access.brokers);
  });
  afterEach(() => service.stop());
  afterAll(() => kafka?.close());

  function own(): KafkaBroker {
    if (kafka === undefined) throw new Error('The test should have been skipped.');
    return kafka;
  }

  it('go on after the broker gave up on one that took too long', async () => {
    // Long enough for what a busy machine does in one transaction.
    const relays = await new Relays(service, { transactionTimeout: 3_000 }).open();
    await relays.process({ sessionTimeout: 20_000 });
    const end = relays.stream();
    for (let round = 0; round < 2; round++) {
      const before = relays.arrived;
      await until('it is at work', () => relays.arrived > before + 50);
      await own().suspend();
      await pause(6_000);
      await own().resume();
    }
    await end();
    await relays.expectFlawless(120_000);
  });
});

describe('transactions on three brokers', () => {
  it('survive the loss of each of them under load: each output once and in order', async ({ skip, onTestFinished }) => {
    const cluster = await startOwnKafkaCluster();
    skip(!cluster.available, 'no Kafka cluster');
    if (!cluster.available) return;
    onTestFinished(() => cluster.close());
    const service = new TestService(cluster.access.brokers);
    const relays = await new Relays(service).open();
    await relays.process();
    await relays.process();
    const end = relays.stream();
    for (const node of cluster.nodes) {
      const before = relays.arrived;
      await until('it is under load', () => relays.arrived > before + 300);
      await node.kill();
      await pause(1_000);
      await node.restart();
      await cluster.untilLive(3);
    }
    await end();
    await relays.expectFlawless(120_000);
    await service.stop();
  });
});
