import kafkajs from 'kafkajs';
import type { Subscription } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from './kafka.fixture.js';
import { acceptAll, keepAll, numbers, TestService, type Received, type TestProcess } from './kafka.process.fixture.js';

const brokers = inject('kafkaBrokers');
const PAST = { perProcess: true, durable: false, from: 'earliest', until: 'now' } as const;

describe.skipIf(brokers.length === 0)('a replay on Kafka', () => {
  let service: TestService;
  let shop: TestProcess;
  let channel: string;
  let replays = 0;
  beforeEach(async () => {
    service = new TestService(brokers, 1);
    ({ channel } = service);
    shop = await service.process().start(channel);
  });
  afterEach(() => service.stop());

  const replay = (changes: Partial<Subscription> = {}, settle = acceptAll): Promise<Received> =>
    shop.subscribe(`Rebuild#${replays++}`, channel, settle, { ...PAST, ...changes });
  const send = (count: number, from = 0): Promise<void> => shop.publish(channel, numbers(count, from), { key: 'k' });
  const isTold = (words: string): boolean => shop.context.lines.some((line) => line.includes(words));

  async function transaction(text: string): Promise<{ commit(): Promise<void>; abort(): Promise<void> }> {
    const client = new kafkajs.Kafka({ brokers: [...brokers], logLevel: kafkajs.logLevel.NOTHING });
    const transactionalId = `${service.name}-${text}`;
    const producer = client.producer({ transactionalId, maxInFlightRequests: 1, idempotent: true });
    await producer.connect();
    const open = await producer.transaction();
    await open.send({ topic: channel, messages: [{ key: 'k', value: text }] });
    const then = (end: Promise<void>): Promise<void> => end.then(() => producer.disconnect());
    return { commit: () => then(open.commit()), abort: () => then(open.abort()) };
  }

  it('ends behind the marker of a transaction, and behind one that was aborted', async () => {
    await send(3);
    const live = await shop.subscribe('Live', channel, acceptAll, { perProcess: true, from: 'earliest' });
    await (await transaction('committed')).commit();
    // The broker answers before its marker is written.
    await until('it can be read', () => live.texts.includes('committed'));
    const first = await replay();
    await first.handle?.ended;
    expect(first.texts).toEqual(['0', '1', '2', 'committed']);
    await (await transaction('aborted')).abort();
    const second = await replay();
    expect(await second.handle?.ended).toBeUndefined();
    expect(second.texts).toEqual(['0', '1', '2', 'committed']);
  });

  it('ends before a transaction that is open, and does not wait for it', async () => {
    await send(3);
    const open = await transaction('open');
    const got = await replay();
    await got.handle?.ended;
    expect(got.texts).toEqual(['0', '1', '2']);
    await open.commit();
  });

  it('begins where it is told to, and ends at once where that is the end or behind it', async () => {
    await send(10);
    const source = `${channel}/0`;
    const some = await replay({ from: { positions: { [source]: '7' } } });
    await some.handle?.ended;
    expect(some.texts).toEqual(['7', '8', '9']);
    for (const from of [
      { positions: { [source]: '10' } },
      { positions: { [source]: '500' } },
      { time: Date.now() + 1e6 },
    ]) {
      const none = await replay({ from });
      await none.handle?.ended;
      expect(none.texts).toEqual([]);
    }
  });

  it('tells how much is left, and leaves no group and no position behind', async () => {
    await send(10);
    const got = await replay({}, keepAll);
    await until('all arrive', () => got.deliveries.length === 10);
    for (const delivery of got.deliveries.slice(0, 4)) void delivery.settle({ kind: 'accept' });
    await send(5, 10);
    expect(await got.handle?.lag()).toBe(6);
    for (const delivery of got.deliveries.slice(4)) void delivery.settle({ kind: 'accept' });
    await got.handle?.ended;
    expect(await got.handle?.lag()).toBe(0);
    expect(await service.groups()).toEqual([]);
  });

  it('waits for what was deferred', async () => {
    await send(2);
    let ended = false;
    const got = await replay({}, (delivery) => {
      const isFirst = delivery.attempt === 1 && delivery.position === '0@1';
      void delivery.settle(isFirst ? { kind: 'defer', notBefore: Date.now() + 500, attempt: 2 } : { kind: 'accept' });
    });
    void got.handle?.ended?.then(() => (ended = true));
    await until('the deferred one is back', () => got.deliveries.length === 3);
    await until('it ends', () => ended);
    expect(got.texts).toEqual(['0', '1', '1']);
  });

  it('leaves out what retention took away meanwhile, says so, and ends', async () => {
    await send(20);
    const remove = (offset: string): Promise<void> =>
      service.withAdmin(async (admin) => {
        await admin.fetchTopicOffsets(channel); // or it does not know the leader
        await admin.deleteTopicRecords({ topic: channel, partitions: [{ partition: 0, offset }] });
      });
    await remove('5');
    const rest = await replay({ from: { positions: { [`${channel}/0`]: '2' } } });
    expect(await rest.handle?.ended).toBe('incomplete');
    expect(rest.texts).toEqual(numbers(15, 5));
    expect(isTold(`leaves out 2 to 4 of ${channel}/0`)).toBe(true);
    await remove('-1');
    const none = await replay({ from: { positions: { [`${channel}/0`]: '2' } } });
    expect(await none.handle?.ended).toBe('incomplete');
    expect(none.texts).toEqual([]);
  });

  it('is not complete where retention takes away what it has not come to', async () => {
    const slow = await service.process({ fetchBytesPerPartition: 16_384, batchBytes: 16_384 }).start(channel);
    await slow.publish(channel, numbers(5_000), { key: 'k' });
    const got = await slow.subscribe('Rebuild#truncated', channel, keepAll, { ...PAST, window: 1 });
    await until('the first arrives', () => got.deliveries.length === 1);
    await service.withAdmin(async (admin) => {
      await admin.fetchTopicOffsets(channel); // or it does not know the leader
      await admin.deleteTopicRecords({ topic: channel, partitions: [{ partition: 0, offset: '4900' }] });
    });
    got.settleAll();
    expect(await got.handle?.ended).toBe('incomplete');
    expect(got.texts.slice(-100)).toEqual(numbers(100, 4_900));
    expect(got.texts.length).toBeLessThan(5_000);
  });

  it('is not complete where it is stopped before its end, and is where it is stopped after it', async () => {
    await send(10);
    const got = await replay({}, keepAll);
    await until('all arrive', () => got.deliveries.length === 10);
    await got.handle?.stop();
    expect(await got.handle?.ended).toBe('incomplete');
    const whole = await replay();
    expect(await whole.handle?.ended).toBeUndefined();
    await whole.handle?.stop();
    expect(await whole.handle?.ended).toBeUndefined();
  });

  it.each([
    ['is deleted', 'the topic was deleted'],
    ['is deleted and made anew', 'the topic was (?:made anew|deleted)'],
  ])('ends where its topic %s under it, and says so', async (what, told) => {
    const slow = await service.process({ fetchBytesPerPartition: 16_384, batchBytes: 16_384 }).start(channel);
    await slow.publish(channel, numbers(5_000), { key: 'k' });
    const got = await slow.subscribe('Rebuild#gone', channel, keepAll, { ...PAST, window: 1 });
    await until('the first arrives', () => got.deliveries.length === 1);
    await service.withAdmin(async (admin) => {
      await admin.deleteTopics({ topics: [channel] });
      if (what === 'is deleted') return;
      await until('it is gone', async () => !(await admin.listTopics()).includes(channel));
      await admin.createTopics({ topics: [{ topic: channel, numPartitions: 1 }], waitForLeaders: false });
    });
    got.settleAll();
    const end = await got.handle?.ended;
    // The broker may hand over what it has for a moment after it said that the topic is deleted.
    if (got.deliveries.length < 5_000) {
      expect(end).toBe('incomplete');
      const line = new RegExp(`^error EVT_POSITION: Rebuild#gone ends.*${told}`);
      expect(slow.context.lines).toContainEqual(expect.stringMatching(line));
    }
  });

  it('goes on after the network was cut', async () => {
    await send(2_000);
    const got = await replay({ window: 10 }, keepAll);
    await until('it has begun', () => got.deliveries.length === 10);
    shop.network.cut();
    got.settleAll();
    await until('what was read is handled', () => got.deliveries.length > 100);
    shop.network.mend();
    expect(await got.handle?.ended).toBeUndefined();
    expect(got.texts).toEqual(numbers(2_000));
  });
});
