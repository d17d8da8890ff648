import { connect } from 'amqplib';
import type { DeadLetter, Delivery } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { RabbitMqAccess } from '../../../test/brokers/brokers.js';
import { FrameReader } from './frame.reader.js';
import { acceptAll, keepAll, letterOf, message, numbers, TestService, until } from './rabbit.fixture.js';

const access = inject('rabbitmq');

describe.skipIf(access === undefined)('the RabbitMQ provider', () => {
  let service: TestService;
  let channel: string;
  beforeEach(() => {
    service = new TestService(access as RabbitMqAccess);
    ({ channel } = service);
  });
  afterEach(() => service.stop());

  it('writes CloudEvents as AMQP knows them, with AMQP’s own fields filled in', async () => {
    const shop = await service.started();
    const time = 1_763_000_000_123;
    await service.byHand(async (amqp) => {
      await amqp.assertQueue('tap', { exclusive: true });
      await amqp.bindQueue('tap', channel, '#');
      const headers = { 'cloudEvents:id': 'e1', 'content-type': 'application/json', session: 's' };
      await shop.provider.publish([{ ...message(channel), id: 'e1', key: 'k', headers, time }]);
      let got = await amqp.get('tap');
      while (got === false) got = await amqp.get('tap');
      expect(got.fields).toMatchObject({ exchange: channel, routingKey: channel });
      expect(got.properties).toMatchObject({
        contentType: 'application/json',
        deliveryMode: 2,
        messageId: 'e1',
        timestamp: Math.floor(time / 1000),
        headers: { 'cloudEvents:id': 'e1', 'cloudEvents:partitionkey': 'k', session: 's' },
      });
    });
  });

  it('knows a connection of the amqplib that is installed, and reads its deliveries from the bytes', async () => {
    const connection = await connect((access as RabbitMqAccess).url);
    expect(FrameReader.of(connection)).toBeInstanceOf(FrameReader);
    await connection.close();
  });

  it('spreads a channel over partitions, each read by one process, and keeps each key in one', async () => {
    const options = { partitions: 4, exchangePrefix: `${service.name}:` };
    const [one, two] = [await service.started(options), await service.started(options)];
    const received = [await one.subscribe('Receipt', channel), await two.subscribe('Receipt', channel)];
    const all = await one.subscribe('Stock', channel, acceptAll, { ordered: false });
    const cache = await two.subscribe('Cache', channel, acceptAll, { perProcess: true });
    for (const key of numbers(20)) await one.publish(channel, numbers(5), { key });
    await one.publish(channel, ['for one'], { key: '3', to: 'Receipt' });
    await one.publish(channel, ['for all'], { key: '3', to: 'Stock' });
    const receipts = (): Delivery[] => received.flatMap(({ deliveries }) => deliveries);
    await until(
      'they arrive',
      () => receipts().length === 101 && all.texts.length === 101 && cache.texts.length === 100,
    );
    for (const key of numbers(20)) {
      const ofKey = receipts().filter((delivery) => delivery.key === key);
      expect(new Set(ofKey.map(({ source }) => source)).size).toBe(1);
      expect(ofKey.map(({ body }) => Buffer.from(body).toString()).slice(0, 5)).toEqual(numbers(5));
    }
    expect(new Set(receipts().map(({ source }) => source)).size).toBe(4);
    const other = await service.process({ ...options, partitions: 3 });
    await expect(other.start(channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringContaining('another number of `partitions` than 3'),
    });
    const none = await service.process({ ...options, partitions: 1 });
    await expect(none.start(channel)).rejects.toMatchObject({ code: 'EVT_TOPOLOGY' });
  });

  it('gives a message that is released while others wait back before those of its key', async () => {
    const shop = await service.started();
    let releases = 0;
    const received = await shop.subscribe(
      'Receipt',
      channel,
      (delivery) => (releases++ < 3 ? void delivery.settle({ kind: 'release' }) : acceptAll(delivery)),
      { window: 1 },
    );
    await shop.publish(channel, numbers(5), { key: 'k' });
    await until('all are accepted', () => received.texts.includes('4'));
    expect(received.texts).toEqual(['0', '0', '0', '0', '1', '2', '3', '4']);
    expect(received.deliveries.every(({ attempt }) => attempt === 1)).toBe(true);
  });

  it('keeps what is deferred for longer than its longest queue does, and for others not late', async () => {
    const shop = await service.started();
    const due = Date.now() + 1_200;
    const long = Date.now() + 3 * 86_400_000;
    const received = await shop.subscribe(
      'Receipt',
      channel,
      (delivery) => {
        if (delivery.attempt > 1) return acceptAll(delivery);
        const notBefore = Buffer.from(delivery.body).toString() === 'long' ? long : due;
        void delivery.settle({ kind: 'defer', notBefore, attempt: 2 });
      },
      { ordered: false },
    );
    await shop.publish(channel, ['long', 'short']);
    await until('it comes back', () => received.deliveries.length === 3);
    expect(received.deliveries[2]).toMatchObject({ attempt: 2, notBefore: due });
    expect(Date.now()).toBeGreaterThanOrEqual(due);
    await until('the other waits', async () => (await service.ready(`${service.name}.retry.24h`)) === 1);
    await until('it is gone from its queue', async () => (await service.ready(service.queue('Receipt'))) === 0);
  });

  it('puts aside what is due for a queue that was deleted, and holds up nothing by it', async () => {
    const shop = await service.started();
    const deferring = (delivery: Delivery): void =>
      delivery.attempt > 1
        ? acceptAll(delivery)
        : void delivery.settle({ kind: 'defer', notBefore: Date.now() + 900, attempt: 2 });
    const gone = await shop.subscribe('Gone', channel, deferring, { ordered: false });
    const stays = await shop.subscribe('Stays', channel, deferring, { ordered: false });
    await shop.publish(channel, numbers(50));
    await until('all are deferred', () => gone.deliveries.length === 50 && stays.deliveries.length >= 50);
    await gone.handle?.stop();
    await service.byHand((amqp) => amqp.deleteQueue(service.queue('Gone')));
    await until('the others come back', () => stays.deliveries.length === 100);
    await until('they are put aside', async () => (await service.ready(`${service.name}.retry.stranded`)) === 50);
    expect(new Set(stays.texts)).toEqual(new Set(numbers(50)));
  });

  it('reads on in a queue that was deleted, once it has made it again', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    await service.byHand((amqp) => amqp.deleteQueue(service.queue('Receipt')));
    await until('it is read again', async () => {
      await shop.publish(channel, ['a']);
      return received.deliveries.length > 0;
    });
    expect(received.revoked).toContain(service.queue('Receipt'));
  });

  it('keeps dead letters until they are removed, page by page, oldest first', async () => {
    const shop = await service.started();
    const store = shop.provider.deadLetters;
    expect(await store.scan({ limit: 10 })).toEqual({ letters: [] });
    const letters = numbers(25).map((id) => letterOf(id, channel));
    for (const letter of [...letters, ...letters.slice(3, 5)]) await store.append(letter);
    await store.remove(['0', '1', '2', '24', 'unknown']);
    const seen: DeadLetter[] = [];
    for (let cursor: string | undefined, pages = 0; pages === 0 || cursor !== undefined; pages++) {
      const page = await store.scan({ limit: 4, ...(cursor === undefined ? {} : { cursor }) });
      expect(page.letters.length).toBeLessThanOrEqual(4);
      seen.push(...page.letters);
      ({ cursor } = page);
    }
    expect(seen.map(({ id }) => id)).toEqual([...numbers(19, 5), '3', '4']);
    expect(seen[0]).toMatchObject({ listener: 'Receipt', reason: 'failed', message: { key: 'k', position: 'p-5' } });
    expect(Buffer.from(seen[0]?.message.body ?? [])).toEqual(Buffer.from('body 5'));
    await expect(store.scan({ limit: 1, cursor: 'x' })).rejects.toMatchObject({ code: 'EVT_POSITION' });
  });

  it('stores a letter with as many headers as a message can have', async () => {
    const shop = await service.started();
    const headers = { long: 'x'.repeat(62_000), raw: Buffer.from([0, 255]) };
    await shop.provider.deadLetters.append(letterOf('big', channel, { headers }));
    const [letter] = await shop.letters();
    expect(letter?.message.headers).toEqual(headers);
  });

  it('reports only the messages that failed', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    const failures = await shop.provider.publish([
      message(channel, { text: 'a' }),
      message(channel, { headers: { long: 'x'.repeat(70_000) } }),
      message(channel, { text: 'b', to: 'Nobody' }),
      message(channel, { text: 'c', headers: { ['x'.repeat(300)]: '1' } }),
      message(channel, { text: 'd' }),
    ]);
    expect([...failures].sort((a, b) => a.index - b.index)).toMatchObject([
      { index: 1, indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } },
      { index: 2, indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED', message: expect.stringContaining('Nobody') } }, // prettier-ignore
      { index: 3, indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } },
    ]);
    await until('the others arrive', () => received.texts.length === 2);
    expect(received.texts).toEqual(['a', 'd']);
  });

  it('loses none of 10,000 messages of many senders, and keeps the order of each key', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    const keys = numbers(100);
    const sends = keys.flatMap((key) => numbers(100).map((text) => ({ key, text })));
    const failures = await Promise.all(sends.map((send) => shop.provider.publish([message(channel, send)])));
    expect(failures.flat()).toEqual([]);
    await until('all arrive', () => received.deliveries.length === 10_000);
    for (const key of keys)
      expect(received.deliveries.filter((delivery) => delivery.key === key).map(({ body }) => String(body))).toEqual(
        sends.filter((send) => send.key === key).map(({ text }) => text),
      );
  });

  it('reads a queue of other software, and sends to it', async () => {
    const queue = `${service.name}.legacy`;
    await service.byHand((amqp) => amqp.assertQueue(queue, { durable: true }));
    const shop = await service.process({ channels: { legacy: { exchange: '', routingKey: queue, queue } } });
    await shop.start('legacy');
    const received = await shop.subscribe('Receipt', 'legacy', (delivery) => {
      if (delivery.attempt > 1) return acceptAll(delivery);
      void delivery.settle({ kind: 'defer', notBefore: Date.now() + 300, attempt: 2 });
    });
    await service.byHand(async (amqp) => void amqp.sendToQueue(queue, Buffer.from('theirs')));
    await shop.publish('legacy', ['ours']);
    await until('they come back', () => received.texts.length === 4);
    expect(received.texts.sort()).toEqual(['ours', 'ours', 'theirs', 'theirs']);
    await service.byHand((amqp) => amqp.deleteQueue(queue));
    const [failure] = await shop.provider.publish([message('legacy')]);
    expect(failure).toMatchObject({ indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } });
  });

  it('tells how much is waiting, and that it cannot while the broker is away', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel, keepAll, { window: 3 });
    await shop.publish(channel, numbers(10));
    await until('it is counted', async () => (await received.handle?.lag()) === 10);
    expect(received.deliveries).toHaveLength(3);
    shop.proxy.cut();
    await until('it is noticed', () => shop.context.statuses.at(-1) === 'disconnected');
    await expect(received.handle?.lag()).rejects.toMatchObject({ code: 'EVT_CONNECTION' });
  });
});
