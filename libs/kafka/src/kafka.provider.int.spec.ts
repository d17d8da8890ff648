import type { DeadLetter, Delivery } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { message, until } from './kafka.fixture.js';
import { accept, acceptAll, keepAll, numbers, TestService } from './kafka.process.fixture.js';

const brokers = inject('kafkaBrokers');

describe.skipIf(brokers.length === 0)('the Kafka provider', () => {
  let service: TestService;
  let channel: string;
  beforeEach(() => {
    service = new TestService(brokers);
    ({ channel } = service);
  });
  afterEach(() => service.stop());

  it('gives a message back with its bytes, headers, key and time', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    const body = Buffer.from([0, 255, 1, 254]);
    const headers = {
      ce_id: 'e1',
      'content-type': 'application/json',
      'x.y-z_1': 'ünï',
      raw: Buffer.from([0xff, 0xfe]),
    };
    await shop.provider.publish([{ ...message(channel), key: 'ключ', headers, body, time: 1_234_567_890_123 }]);
    await until('it arrives', () => received.deliveries.length === 1);
    const [delivery] = received.deliveries as [Delivery];
    expect(delivery).toMatchObject({ channel, key: 'ключ', time: 1_234_567_890_123, attempt: 1 });
    expect(delivery.source).toMatch(new RegExp(`^${channel}/[012]$`));
    expect(delivery.position).toBe(`${delivery.source.slice(-1)}@0`);
    expect(Buffer.from(delivery.body)).toEqual(body);
    expect(Object.keys(delivery.headers).sort()).toEqual(Object.keys(headers).sort());
    for (const [name, value] of Object.entries(headers)) expect(Buffer.from(delivery.headers[name] as string)).toEqual(Buffer.from(value as string)); // prettier-ignore
  });

  it('keeps to its window and goes on when it opens', async () => {
    const shop = await service.started({ partitions: 1 });
    const received = await shop.subscribe('Receipt', channel, keepAll, { window: 10 });
    await shop.publish(channel, numbers(50));
    await until('ten arrive', () => received.texts.length === 10);
    for (const delivery of received.deliveries.slice(1)) accept(delivery);
    await shop.publish(channel, ['more']);
    expect(received.texts).toHaveLength(10);
    accept(received.deliveries[0]);
    await until('ten more arrive', () => received.texts.length === 20);
  });

  it('gives a released message back at once', async () => {
    const shop = await service.started();
    let releases = 0;
    const received = await shop.subscribe('Receipt', channel, (delivery) => {
      if (releases++ < 2) void delivery.settle({ kind: 'release' });
      else accept(delivery);
    });
    await shop.publish(channel, ['a']);
    await until('it is accepted', () => received.deliveries.length === 3);
    expect(new Set(received.deliveries.map(({ position }) => position)).size).toBe(1);
  });

  it('brings a deferred message back to its own subscription, with what it was', async () => {
    const shop = await service.started();
    const notBefore = Date.now() + 300;
    const received = await shop.subscribe('Receipt', channel, (delivery) => {
      if (delivery.attempt === 1) void delivery.settle({ kind: 'defer', notBefore, attempt: 2 });
      else accept(delivery);
    });
    const other = await shop.subscribe('Stock', channel);
    const [sent] = [message(channel, { text: 'a', key: 'k', headers: { a: '1' }, time: 1_700_000_000_000 })];
    await shop.provider.publish([sent]);
    await until('it comes back', () => received.deliveries.length === 2 && other.texts.length > 0);
    const [first, again] = received.deliveries as [Delivery, Delivery];
    expect(again).toMatchObject({
      channel,
      key: 'k',
      time: 1_700_000_000_000,
      attempt: 2,
      notBefore,
      position: first.position,
    });
    expect(Object.keys(again.headers)).toEqual(['a']);
    expect(again.source).toContain(`${service.name}.retry/`);
    expect(other.texts).toEqual(['a']);
  });

  it('sends a message that is for one subscription to no other', async () => {
    const shop = await service.started();
    const [receipts, stock] = [await shop.subscribe('Receipt', channel), await shop.subscribe('Stock', channel)];
    const caches = await Promise.all(
      ['Cache'].map((name) => shop.subscribe(name, channel, acceptAll, { perProcess: true })),
    );
    await shop.publish(channel, ['targeted'], { to: 'Receipt' });
    await shop.publish(channel, ['everyone']);
    await shop.publish(channel, ['cached'], { to: 'Cache' });
    await until(
      'they arrive',
      () => receipts.texts.length === 2 && caches[0]?.texts.length === 2 && stock.texts.length === 1,
    );
    expect(stock.texts).toEqual(['everyone']);
    expect([...receipts.texts].sort()).toEqual(['everyone', 'targeted']);
  });

  it('keeps dead letters until they are removed, page by page, oldest first', async () => {
    const shop = await service.started();
    const store = shop.provider.deadLetters;
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
    expect(seen[0]).toMatchObject({ listener: 'Receipt', reason: 'failed', message: { key: 'k', position: '0@5' } });
    expect(Buffer.from(seen[0]?.message.body ?? [])).toEqual(Buffer.from('body 5'));
    await expect(store.scan({ limit: 1, cursor: 'x' })).rejects.toMatchObject({ code: 'EVT_POSITION' });
    expect(await service.groups()).toEqual([]);
  });

  it('stores a rejected message, however large, before it is gone from its channel', async () => {
    const shop = await service.started({ partitions: 1 });
    const received = await shop.subscribe('Receipt', channel, keepAll);
    const body = Buffer.alloc(1_000_000, 7);
    expect(await shop.provider.publish([{ ...message(channel), body }])).toEqual([]);
    await until('it arrives', () => received.deliveries.length === 1);
    const letter = { ...letterOf('big', channel), message: { ...letterOf('big', channel).message, body } };
    await received.deliveries[0]?.settle({ kind: 'reject', letter });
    const { letters } = await shop.provider.deadLetters.scan({ limit: 10 });
    expect(letters).toHaveLength(1);
    expect(Buffer.from(letters[0]?.message.body ?? []).equals(body)).toBe(true);
    await until('it is gone from the channel', async () => (await service.committed('Receipt')) === 1);
  });

  it('reports only the messages that failed', async () => {
    const shop = await service.started({ partitions: 1, topicConfig: { 'max.message.bytes': '20000' } });
    const received = await shop.subscribe('Receipt', channel);
    const bodies = numbers(9).map((text, index) => (index === 4 ? 'x'.repeat(30_000) : text));
    const failures = await shop.provider.publish(bodies.map((text) => message(channel, { text })));
    expect(failures).toMatchObject([{ index: 4, indeterminate: false, error: { code: 'EVT_BODY_TOO_LARGE' } }]);
    await until('the others arrive', () => received.texts.length === 8);
    expect(received.texts).toEqual(bodies.filter((_, index) => index !== 4));

    const mixed = await shop.provider.publish([
      message(channel, { text: 'a' }),
      message('no topic!'),
      message(channel, { text: 'b' }),
    ]);
    expect(mixed).toMatchObject([{ index: 1, indeterminate: false, error: { code: 'EVT_TOPOLOGY' } }]);
  });

  it('under topology: check, names the topic that is missing and the remedy', async () => {
    const strict = service.process({}, { topology: 'check' });
    await expect(strict.start(channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(new RegExp(`${channel}.*kafka-topics`)),
    });
  });

  it('loses none of 10,000 messages of many senders, and keeps the order of each key', async () => {
    const shop = await service.started({ partitions: 6 });
    const received = await shop.subscribe('Receipt', channel);
    const keys = numbers(100);
    const sends = keys.flatMap((key) => numbers(100).map((text) => ({ key, text })));
    const failures = await Promise.all(
      sends.map(({ key, text }) => shop.provider.publish([message(channel, { key, text })])),
    );
    expect(failures.flat()).toEqual([]);
    await until('all arrive', () => received.deliveries.length === 10_000);
    for (const key of keys) {
      const ofKey = received.deliveries.filter((delivery) => delivery.key === key);
      expect(ofKey.map(({ body }) => Buffer.from(body).toString())).toEqual(
        sends.filter((send) => send.key === key).map(({ text }) => text),
      );
    }
  });
});

function letterOf(id: string, channel: string): DeadLetter {
  return {
    id,
    service: 'shop',
    listener: 'Receipt',
    channel,
    reason: 'failed',
    error: { name: 'Error', message: 'no' },
    attempts: 5,
    firstFailedAt: 1,
    deadAt: 2,
    message: { key: 'k', headers: { a: '1' }, body: Buffer.from(`body ${id}`), time: 3, position: `0@${id}` },
  };
}
