import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startOwnKafka, type KafkaBroker } from '../../../test/brokers/brokers.js';
import { message, until } from './kafka.fixture.js';
import { Load } from './kafka.load.fixture.js';
import type { KafkaOptions } from './kafka.options.js';
import { acceptAll, keepAll, newService, TestProcess, TestService } from './kafka.process.fixture.js';

const PATIENCE = 300_000;

describe('the Kafka provider when the broker is in trouble', () => {
  let kafka: KafkaBroker | undefined;
  let service: TestService;
  let channel: string;
  beforeAll(async () => {
    const had = await startOwnKafka();
    if (had.available) kafka = had;
  }, PATIENCE);
  beforeEach(({ skip }) => {
    skip(kafka === undefined, 'no Kafka');
    service = new TestService(own().access.brokers);
    ({ channel } = service);
  });
  afterEach(() => service.stop());
  afterAll(() => kafka?.close());

  function own(): KafkaBroker {
    if (kafka === undefined) throw new Error('The test should have been skipped.');
    return kafka;
  }

  it('stores each message once and in order while the broker is killed under load, twice', async () => {
    const shop = await service.process({}, { publishTimeout: 60_000 }).start(channel);
    const load = new Load(shop, channel);
    for (let kill = 0; kill < 2; kill++) {
      const before = load.stored;
      await until('it is under load', () => load.stored > before + 2_000);
      await own().kill();
      await until('messages wait', () => load.sent > load.stored + 100);
      await own().restart();
    }
    await load.end();
    expect(load.failures).toEqual([]);
    const reader = await shop.subscribe('Reader', channel, acceptAll, { perProcess: true, from: 'earliest' });
    await until('all are there', () => reader.deliveries.length >= load.sent);
    expect(reader.deliveries).toHaveLength(load.sent);
    const { received, sent } = load.orders(reader);
    expect(received).toEqual(sent);
  });

  it('goes on handling after the broker came back, from where it was', async () => {
    const shop = await service.process().start(channel);
    const received = await shop.subscribe('Receipt', channel, acceptAll);
    const cache = await shop.subscribe('Cache', channel, acceptAll, { perProcess: true });
    await shop.publish(channel, ['a'], { key: 'k' });
    await until('it is handled', () => received.texts.length === 1 && cache.texts.length === 1);
    await own().kill();
    await until('it is noticed', () => shop.context.statuses.at(-1) === 'disconnected');
    const sent = shop.publish(channel, ['b'], { key: 'k' });
    await own().restart();
    await sent;
    await until('the next is handled', () => received.texts.includes('b') && cache.texts.includes('b'));
    expect(received.texts.filter((text) => text === 'b')).toHaveLength(1);
    await until('it is told', () => shop.context.statuses.at(-1) === 'connected');
    // Told at each change, not at each attempt.
    expect(shop.context.lines.filter((line) => line.startsWith('warn EVT_CONNECTION'))).toHaveLength(1);
  });

  it('waits for a broker that is away at start', async () => {
    await own().kill();
    const shop = service.process();
    const starting = shop.start(channel);
    await until('it is told', () => shop.context.statuses.includes('disconnected'));
    await own().restart();
    await starting;
    await shop.publish(channel, ['a']);
    expect(shop.context.statuses).toEqual(['disconnected', 'connected']);
  });

  it('can be stopped while the broker is away', async () => {
    const shop = await service.process().start(channel);
    await shop.subscribe('Receipt', channel, keepAll);
    const waiting = service.process();
    await own().kill();
    const starting = expect(waiting.start(channel)).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    const lost = shop.provider.publish([message(channel)]);
    const began = Date.now();
    await Promise.all([shop.stop(), waiting.stop(), starting]);
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(await lost).toMatchObject([{ error: { code: 'EVT_NOT_RUNNING' } }]);
    await own().restart();
  });

  it('says of a message that a silent broker may have, that it may be stored', async () => {
    const shop = await service.process({}, { publishTimeout: 3_000 }).start(channel);
    await shop.publish(channel, ['a']);
    await own().suspend();
    const [failure] = await shop.provider.publish([message(channel, { text: 'b' })]);
    expect(failure).toMatchObject({ indeterminate: true, error: { code: 'EVT_PUBLISH_TIMEOUT', indeterminate: true } });
    await own().resume();
    await shop.publish(channel, ['c']);
  });

  it('hands its partitions over when it falls silent, and does not spoil the next owner’s position', async () => {
    const sleeper = await service.process({ partitions: 1 }).start(channel);
    const asleep = await sleeper.subscribe('Receipt', channel, keepAll);
    await sleeper.publish(channel, ['0', '1', '2', '3']);
    await until('all are delivered', () => asleep.deliveries.length === 4);
    sleeper.network.cut();
    const other = await service.process({ partitions: 1 }).start(channel);
    const awake = await other.subscribe('Receipt', channel, (delivery) => {
      if (delivery.position !== '0@3') void delivery.settle({ kind: 'accept' });
    });
    await until('the other has them', () => awake.deliveries.length === 4);
    await until('the sleeper knows', () => asleep.revoked.length > 0);
    sleeper.network.mend();
    for (const delivery of asleep.deliveries) void delivery.settle({ kind: 'accept' });
    await sleeper.publish(channel, ['4']);
    await until('it goes on', () => awake.texts.includes('4') || asleep.texts.includes('4'));
    await until('what it accepted is written down', async () => (await service.committed('Receipt')) === 3);
    other.network.cut();
    const third = await service.process({ partitions: 1 }).start(channel);
    await sleeper.stop();
    const after = await third.subscribe('Receipt', channel);
    await until('what was not accepted comes back', () => after.texts.includes('3'));
    expect(after.texts).not.toContain('0');
  });

  it('creates its topics again when the broker comes back without them', async () => {
    const shop = await service.process().start(channel);
    const received = await shop.subscribe('Receipt', channel);
    await shop.publish(channel, ['a'], { key: 'k' });
    await until('it is handled', () => received.texts.length === 1);
    await own().wipe();
    await shop.publish(channel, ['b'], { key: 'k' });
    await until('the next is handled', () => received.texts.includes('b'));
    expect(received.texts).toEqual(['a', 'b']);
  });
});

describe('the Kafka provider and credentials', () => {
  it('gets in with the right ones, and hears at once of wrong ones', async ({ skip, onTestFinished }) => {
    const kafka = await startOwnKafka({ security: 'sasl-tls' });
    skip(!kafka.available, 'no Kafka');
    if (!kafka.available) return;
    onTestFinished(() => kafka.close());
    const { brokers, ssl, sasl } = kafka.access as { brokers: string[] } & Pick<KafkaOptions, 'ssl' | 'sasl'>;
    const entitled: KafkaOptions = {
      brokers,
      ...(ssl === undefined ? {} : { ssl }),
      ...(sasl === undefined ? {} : { sasl }),
    };
    const good = new TestProcess(newService(), { ...entitled });
    await good.start('orders');
    const received = await good.subscribe('Receipt', 'orders');
    await good.publish('orders', ['a']);
    await until('it arrives', () => received.texts.length === 1);
    await good.stop();

    const wrong = { ...sasl, password: 'wrong-and-secret' } as never;
    const bad = new TestProcess(newService(), { ...entitled, sasl: wrong });
    await expect(bad.start('orders')).rejects.toMatchObject({ code: 'EVT_AUTHENTICATION' });
    expect(bad.context.lines.join('\n')).not.toContain('wrong-and-secret');
    await bad.stop();

    const { ssl: _, ...trusting } = { ...entitled, ssl: true };
    const stranger = new TestProcess(newService(), { ...trusting, ssl: true });
    await expect(stranger.start('orders')).rejects.toMatchObject({
      code: 'EVT_CONNECTION',
      message: expect.stringContaining('TLS'),
    });
    await stranger.stop();
  });
});
