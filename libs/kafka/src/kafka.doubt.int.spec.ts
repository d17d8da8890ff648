import kafkajs from 'kafkajs';
import type { Delivery } from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest';
import { startOwnKafkaCluster, type KafkaCluster } from '../../../test/brokers/brokers.js';
import { textOf, until } from './kafka.fixture.js';
import { TestService } from './kafka.process.fixture.js';
import { Relays } from './kafka.relay.fixture.js';
import {
  END_TRANSACTION,
  MeddlingNetwork,
  POSITION,
  PRODUCE,
  TAKE_OVER,
  type RequestFrame,
} from './meddling.network.fixture.js';

// Transactions whose fate is not known at the moment: an answer is lost, or a broker does not take an output for now.

const brokers = inject('kafkaBrokers');
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe.skipIf(brokers.length === 0)('a transaction whose request was not answered', () => {
  let service: TestService;
  let relays: Relays;
  let network: MeddlingNetwork;
  beforeEach(async () => {
    service = new TestService(brokers, 1);
    relays = await new Relays(service).open();
    network = new MeddlingNetwork();
  });
  afterEach(() => service.stop());

  /** The answer to the next request of this kind is lost, and the request arrives again with the end of each later transaction. */
  function loseAndRepeat(api: number): () => number {
    let lost: RequestFrame | undefined;
    let ends = 0;
    let late = 0;
    network.meddle = async (frame) => {
      if (frame.api === api && lost === undefined) {
        lost = frame;
        return 'lose-answer';
      }
      if (frame.api === END_TRANSACTION && lost !== undefined && ++ends > 1) {
        await network.arriveLate(lost);
        late++;
      }
      return 'go';
    };
    return () => late;
  }

  it.each([
    ['position', POSITION],
    ['end', END_TRANSACTION],
    ['output', PRODUCE],
  ])('has no part in the next one when its %s arrives late', async (_, api) => {
    const { process, received } = await relays.process({ openSocket: network.open });
    await relays.send(5);
    await until('it is at work', () => relays.arrived === 5);
    const late = loseAndRepeat(api);
    await relays.send(5);
    await until('the first go through', () => relays.arrived === 10);
    await relays.send(5);
    await until('the next go through', () => relays.arrived === 15);
    await until('the request arrived late', () => late() > 0);
    // Nothing was taken over for it.
    expect(received.deliveries).toHaveLength(15);
    expect(process.context.lines.filter((line) => line.includes('over anew'))).toEqual([]);
    network.meddle = () => 'lose-answer';
    await process.stop();
    await relays.process();
    await relays.expectFlawless();
  });

  it('is found out about where its end is never answered', async () => {
    const { process } = await relays.process({ openSocket: network.open, transactionTimeout: 2_000 });
    await relays.send(5);
    await until('it is at work', () => relays.arrived === 5);
    network.meddle = ({ api }) => (api === END_TRANSACTION ? 'lose-answer' : 'go');
    await relays.send(5);
    await until('it takes it over', () => process.context.lines.some((line) => line.includes('over anew')));
    network.meddle = () => 'go';
    await relays.send(5);
    await relays.expectFlawless();
  });

  it('is taken over without blaming the event that was at work', async () => {
    const attempts: number[] = [];
    const notes = (): Promise<string> =>
      service.withAdmin(async (admin) => {
        const [topic] = await admin.fetchOffsets({ groupId: `${service.name}.Relay`, topics: [service.channel] });
        return topic?.partitions[0]?.metadata ?? '';
      });
    const { process, received } = await relays.process(
      { openSocket: network.open, transactionTimeout: 2_000 },
      (delivery) => {
        if (textOf(delivery) === '0') attempts.push(delivery.attempt);
        else void delivery.settle({ kind: 'accept' });
      },
    );
    await relays.send(5);
    await until('it is at work', () => received.deliveries.length === 5);
    await until('that is on record', async () => (await notes()).startsWith('1;a=2;d='));
    network.meddle = ({ api }) => (api === END_TRANSACTION ? 'lose-answer' : 'go');
    await relays.send(5);
    await until('it is taken over', () => process.context.lines.some((line) => line.includes('over anew')));
    network.meddle = () => 'go';
    await until('it comes again', () => attempts.length > 1);
    expect(attempts.slice(0, 2)).toEqual([1, 1]);
  });

  it('that never ends over the position of a partition keeps that one waiting, says so each time, and the others go on', async ({
    onTestFinished,
  }) => {
    const wide = new TestService(brokers, 3);
    onTestFinished(() => wide.stop());
    const { channel, name } = wide;
    const groupId = `${name}.Relay`;
    const others = await new Relays(wide, { transactionTimeout: 2_000 }).open();
    const { process } = await others.process();
    await others.send(60);
    await until('all arrive', () => others.arrived === 60);
    await process.stop();
    const client = new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING });
    const producer = client.producer({
      transactionalId: `${name}-foreign`,
      transactionTimeout: 600_000,
      idempotent: true,
      maxInFlightRequests: 1,
    });
    await producer.connect();
    const occupy = async (): Promise<kafkajs.Transaction> => {
      const open = await producer.transaction();
      const offset = String(await wide.committed('Relay'));
      const topics = [{ topic: channel, partitions: [{ partition: 0, offset }] }];
      await open.sendOffsets({ consumerGroupId: groupId, topics });
      return open;
    };
    const told = (start: string): number =>
      heir.process.context.lines.filter((line) => line.startsWith(`${start} in ${channel}/0`)).length;
    const goneOn = (before: number): boolean =>
      heir.received.deliveries.slice(before).filter(({ source }) => source !== `${channel}/0`).length > 10;

    const atStart = await occupy();
    const heir = await others.process({ openSocket: network.open });
    await others.send(60);
    await until('it is told', () => told(`error EVT_POSITION: ${groupId} waits`) === 1);
    await until('the others go on', () => goneOn(0));
    expect(heir.received.deliveries.map(({ source }) => source)).not.toContain(`${channel}/0`);
    await atStart.commit();
    await others.expectFlawless();
    expect(told(`log ${groupId} goes on`)).toBe(1);

    // Found in a partition that is taken over for another reason.
    const atWork = await occupy();
    network.meddle = ({ api }) => (api === END_TRANSACTION ? 'lose-answer' : 'go');
    await others.send(60);
    await until('it is taken over anew', () => heir.received.revoked.includes(`${channel}/0`));
    network.meddle = () => 'go';
    const before = heir.received.deliveries.length;
    await others.send(60);
    await until('it is told again', () => told(`error EVT_POSITION: ${groupId} waits`) === 2);
    await until('the others go on again', () => goneOn(before));
    await atWork.commit();
    await others.expectFlawless();
    await producer.disconnect();
  });
});

describe('a transaction on several brokers', () => {
  let cluster: KafkaCluster | undefined;
  let service: TestService;
  let relays: Relays;
  let network: MeddlingNetwork;
  let small: string;
  beforeAll(async () => {
    const had = await startOwnKafkaCluster();
    if (had.available) cluster = had;
  }, 300_000);
  beforeEach(async ({ skip }) => {
    skip(cluster === undefined, 'no Kafka cluster');
    network = new MeddlingNetwork();
    service = new TestService(own().access.brokers, 1);
    small = `${service.channel}.small`;
    await service.withAdmin((admin) =>
      admin.createTopics({
        waitForLeaders: false, // which it does not do patiently; who uses them does
        topics: [
          placed(service.channel, [1, 2]),
          placed(`${service.channel}.out`, [2, 3], { 'min.insync.replicas': '2' }),
          placed(small, [1, 2], { 'max.message.bytes': '2000' }),
        ],
      }),
    );
    relays = await new Relays(service).open();
  });
  afterEach(() => service.stop());
  afterAll(() => cluster?.close());

  function own(): KafkaCluster {
    if (cluster === undefined) throw new Error('The test should have been skipped.');
    return cluster;
  }

  const portOf = (node: number): number => Number(own().nodes[node - 1]?.address.split(':')[1]);
  const inSync = (topic: string): Promise<number> =>
    service.withAdmin(async (admin) => {
      const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
      return topics[0]?.partitions[0]?.isr.length ?? 0;
    });
  const isTold = (lines: readonly string[]): boolean =>
    lines.some((line) => line.startsWith('error EVT_PUBLISH_FAILED'));

  it('loses nothing where one leader refuses an output and the answer of another is lost', async () => {
    let isLost = false;
    let tries = 0;
    const mark = 'the one with a large sister';
    const mended = new Promise<void>((resolve) => {
      network.meddle = async ({ api, port, bytes }) => {
        if (isLost && (api === END_TRANSACTION || api === TAKE_OVER)) {
          // From now on both leaders would take all of it.
          await service.withAdmin((admin) => admin.alterConfigs(roomFor(small)));
          resolve();
        }
        if (api !== PRODUCE || port !== portOf(2) || !bytes.includes(mark)) return 'go';
        tries++;
        if (isLost) return 'go';
        isLost = true;
        return 'lose-answer';
      };
    });
    const settle = (delivery: Delivery): void => {
      const isLarge = textOf(delivery) === '5';
      const outputs = [relays.output(delivery, isLarge ? { headers: { mark } } : {})];
      if (isLarge) outputs.push({ ...relays.output(delivery), channel: small, body: Buffer.alloc(20_000) });
      void delivery.settle({ kind: 'accept', outputs });
    };
    await relays.process({ openSocket: network.open }, settle);
    await relays.send(6);
    await mended;
    await until('the very same outputs are tried again, with nothing behind them', () => tries > 1);
    await relays.send(20);
    await relays.expectFlawless();
  });

  it('says what is refused while too few replicas are in sync, does not hurry, and goes on when they are back', async () => {
    const { process } = await relays.process({ openSocket: network.open, transactionTimeout: 10_000 });
    await relays.send(5);
    await until('it is at work', () => relays.arrived === 5);
    await own().node(2).kill();
    await until('one replica is left', async () => (await inSync(relays.out)) === 1);
    let requests = 0;
    network.meddle = () => {
      requests++;
      return 'go';
    };
    await relays.send(5);
    await until('it is told', () => isTold(process.context.lines));
    requests = 0;
    await pause(5_000);
    expect(requests).toBeLessThan(300);
    // Once, and once more where the group or the broker made it take the partition over anew.
    const told = process.context.lines.filter((line) => line.startsWith('error EVT_PUBLISH_FAILED'));
    expect(told.length).toBeLessThanOrEqual(2);
    for (const line of told)
      expect(line).toMatch(
        /(?:NOT_ENOUGH_REPLICAS|CONCURRENT_TRANSACTIONS).* Bring its replicas back, or lower `min\.insync/,
      );
    await own().node(2).restart();
    await own().untilLive(3);
    await relays.send(5);
    await relays.expectFlawless();
  });
});

function placed(topic: string, replicas: number[], config: Record<string, string> = {}): kafkajs.ITopicConfig {
  return {
    topic,
    numPartitions: -1,
    replicationFactor: -1,
    replicaAssignment: [{ partition: 0, replicas }],
    configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
  };
}

function roomFor(topic: string): Parameters<kafkajs.Admin['alterConfigs']>[0] {
  const configEntries = [{ name: 'max.message.bytes', value: '1000000' }];
  const resources = [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }];
  return { validateOnly: false, resources };
}
