import kafkajs from 'kafkajs';
import type { DeadLetter, Delivery } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { message, until } from './kafka.fixture.js';
import type { KafkaOptions } from './kafka.options.js';
import { acceptAll, keepAll, newService, TestProcess, type Received } from './kafka.process.fixture.js';
import type {} from '../../../test/brokers/global-setup.js';

const brokers = inject('kafkaBrokers');

describe.skipIf(brokers.length === 0)('the Kafka provider', { timeout: 60_000 }, () => {
  let service: string;
  let channel: string;
  let processes: TestProcess[];
  beforeEach(() => {
    service = newService();
    channel = `${service}.orders`;
    processes = [];
  });
  afterEach(() => Promise.all(processes.map((one) => one.stop())));

  async function started(options: Partial<KafkaOptions> = {}, of = service): Promise<TestProcess> {
    const one = new TestProcess(of, { brokers, partitions: 3, ...options });
    processes.push(one);
    return one.start(channel);
  }
  const numbers = (count: number, from = 0): string[] => Array.from({ length: count }, (_, index) => `${from + index}`);
  const accept = (delivery: Delivery | undefined): void => void delivery?.settle({ kind: 'accept' });

  it('gives a message back with its bytes, headers, key and time', async () => {
    const shop = await started();
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

  it('gives each subscription a copy, and shares one between processes', async () => {
    const [one, two] = [await started(), await started()];
    const receipts = await Promise.all([one, two].map((shop) => shop.subscribe('Receipt', channel)));
    const stock = await one.subscribe('Stock', channel);
    await until('both have partitions', async () => (await membersOf('Receipt')) === 2);
    await Promise.all(numbers(300).map((text) => one.publish(channel, [text], { key: text })));
    await until(
      'all arrive',
      () => stock.texts.length === 300 && receipts.flatMap(({ texts }) => texts).length === 300,
    );
    expect(new Set(receipts.flatMap(({ texts }) => texts)).size).toBe(300);
    for (const { texts } of receipts) expect(texts.length).toBeGreaterThan(0);
  });

  it('gives each process a copy from now on, and leaves nothing behind', async () => {
    const [one, two] = [await started(), await started()];
    await one.publish(channel, ['before']);
    const copies = await Promise.all(
      [one, two].map((shop) => shop.subscribe('Cache', channel, acceptAll, { perProcess: true })),
    );
    await one.publish(channel, numbers(30));
    await until('both have all', () => copies.every(({ texts }) => texts.length === 30));
    for (const { texts } of copies) expect(texts).not.toContain('before');
    await Promise.all(copies.map(({ handle }) => handle?.stop()));
    expect((await groups()).filter((group) => group.includes(service))).toEqual([]);
  });

  it('begins with what follows the first subscription, even if nothing was handled before a crash', async () => {
    const first = await started();
    await first.publish(channel, ['before']);
    await first.subscribe('Receipt', channel, keepAll);
    first.network.cut();
    const second = await started();
    await second.publish(channel, ['after']);
    const received = await second.subscribe('Receipt', channel);
    await until('it arrives', () => received.texts.includes('after'));
    expect(received.texts).toEqual(['after']);
  });

  it('begins where it is told: earliest, a time, positions', async () => {
    const shop = await started({ partitions: 1 });
    await shop.publish(channel, numbers(3), { time: 1_600_000_000_000 });
    await shop.publish(channel, numbers(3, 3), { time: 1_600_000_100_000 });
    const cases = [
      { name: 'Earliest', from: 'earliest', expected: numbers(6) },
      { name: 'Time', from: { time: 1_600_000_050_000 }, expected: numbers(3, 3) },
      { name: 'Later', from: { time: 1_600_000_200_000 }, expected: [] },
      { name: 'Positions', from: { positions: { [`${channel}/0`]: '4' } }, expected: numbers(2, 4) },
    ] as const;
    const received = await Promise.all(
      cases.map(({ name, from }) => shop.subscribe(name, channel, acceptAll, { from })),
    );
    await shop.publish(channel, ['last']);
    for (const [index, { name, expected }] of cases.entries()) {
      const { texts } = received[index] as Received;
      await until(`${name} has all`, () => received[index]?.texts.includes('last') === true);
      expect(received[index]?.texts, `${name} ${texts.length}`).toEqual([...expected, 'last']);
    }
    await expect(shop.subscribe('Bad', channel, acceptAll, { from: { time: -1 } })).rejects.toMatchObject({
      code: 'EVT_POSITION',
    });
  });

  it('after a restart repeats what was not accepted and nothing that was, behind a gap too', async () => {
    const first = await started({ partitions: 1 });
    const before = await first.subscribe('Receipt', channel, keepAll);
    await first.publish(channel, numbers(6));
    await until('all arrive', () => before.texts.length === 6);
    for (const index of [0, 1, 3, 5]) accept(before.deliveries[index]);
    await until('it is committed', async () => (await committed('Receipt')) === 2);
    first.network.cut();
    const second = await started({ partitions: 1 });
    const after = await second.subscribe('Receipt', channel);
    await until('the rest arrives', () => after.texts.length === 2);
    await second.publish(channel, ['6']);
    await until('the next arrives', () => after.texts.length === 3);
    expect(after.texts).toEqual(['2', '4', '6']);
    // The head was in work when the process died, and that is known.
    expect(after.deliveries.map(({ attempt }) => attempt)).toEqual([2, 1, 1]);
  });

  it('counts no crash when a process stops in good order', async () => {
    const first = await started({ partitions: 1 });
    const before = await first.subscribe('Receipt', channel, keepAll);
    await first.publish(channel, ['a']);
    await until('it arrives', () => before.texts.length === 1);
    await first.stop();
    const second = await started({ partitions: 1 });
    const after = await second.subscribe('Receipt', channel);
    await until('it arrives again', () => after.texts.length === 1);
    expect(after.deliveries[0]?.attempt).toBe(1);
  });

  it('keeps to its window and goes on when it opens', async () => {
    const shop = await started({ partitions: 1 });
    const received = await shop.subscribe('Receipt', channel, keepAll, { window: 10 });
    await shop.publish(channel, numbers(50));
    await until('ten arrive', () => received.texts.length === 10);
    for (const delivery of received.deliveries.slice(1)) accept(delivery);
    await shop.publish(channel, ['more']);
    expect(received.texts).toHaveLength(10);
    accept(received.deliveries[0]);
    await until('ten more arrive', () => received.texts.length === 20);
  });

  it('stays in its group while everything is paused, longer than its session', async () => {
    const shop = await started({ partitions: 1, sessionTimeout: 6_000, heartbeatInterval: 200 });
    const received = await shop.subscribe('Receipt', channel);
    received.handle?.pause();
    await shop.publish(channel, numbers(20));
    const end = Date.now() + 8_000;
    await until('the session would be over', () => Date.now() > end, 10_000);
    expect(received.texts).toEqual([]);
    expect(received.revoked).toEqual([]);
    received.handle?.resume();
    await until('all arrive', () => received.texts.length === 20);
    expect(received.texts).toEqual(numbers(20));
  });

  it('gives a released message back at once', async () => {
    const shop = await started();
    const received = await shop.subscribe('Receipt', channel, (delivery) =>
      delivery.attempt < 3 ? void delivery.settle({ kind: 'release' }) : accept(delivery),
    );
    await shop.publish(channel, ['a']);
    await until('it is accepted', () => received.deliveries.length === 3);
    expect(received.deliveries.map(({ attempt, position }) => `${attempt} ${position.slice(1)}`)).toEqual([
      '1 @0',
      '2 @0',
      '3 @0',
    ]);
  });

  it('brings a deferred message back to its own subscription, with what it was', async () => {
    const shop = await started();
    const notBefore = Date.now() + 300;
    const received = await shop.subscribe('Receipt', channel, (delivery) => {
      if (delivery.attempt === 1) void delivery.settle({ kind: 'defer', notBefore, attempt: 2 });
      else accept(delivery);
    });
    const other = await shop.subscribe('Stock', channel);
    const [sent] = [message(channel, { text: 'a', key: 'k', headers: { a: '1' }, time: 1_700_000_000_000 })];
    await shop.provider.publish([sent]);
    await until('it comes back', () => received.deliveries.length === 2);
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
    expect(again.source).toContain(`${service}.retry/`);
    expect(other.texts).toEqual(['a']);
  });

  it('sends a message that is for one subscription to no other', async () => {
    const shop = await started();
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

  it('moves partitions in good order when a process comes or goes: nothing twice', async () => {
    const one = await started({ partitions: 6 });
    const handled: string[] = [];
    const slow = (delivery: Delivery): void => {
      setTimeout(() => {
        handled.push(Buffer.from(delivery.body).toString());
        accept(delivery);
      }, 30);
    };
    const first = await one.subscribe('Receipt', channel, slow, { window: 8 });
    // What a kernel does: nothing new begins, and what runs may end.
    first.onRevoked = () => new Promise((resolve) => setTimeout(resolve, 100));
    await one.publish(channel, numbers(600));
    const two = await started({ partitions: 6 });
    const second = await two.subscribe('Receipt', channel, slow, { window: 8 });
    second.onRevoked = first.onRevoked;
    await until('the second has some', () => second.deliveries.length > 50);
    expect(first.revoked.length).toBeGreaterThan(0);
    await until('all are handled', () => new Set(handled).size === 600);
    // Delivered and not begun when its partition moved, at most a window of each: handed over, not handled twice.
    expect(handled).toHaveLength(600);
  });

  it('lets processes with different channels share a group', async () => {
    const other = `${service}.payments`;
    const old = await started();
    const before = await old.subscribe('Ledger', channel);
    const fresh = await started();
    const after = await fresh.subscribe('Ledger', channel, acceptAll, { channels: [channel, other] });
    await fresh.publish(channel, numbers(60));
    await fresh.publish(other, numbers(60, 100));
    await until('all arrive', () => before.texts.length + after.texts.length === 120);
    expect(before.deliveries.every((delivery) => delivery.channel === channel)).toBe(true);
    expect(after.texts.filter((text) => Number(text) >= 100)).toHaveLength(60);
  });

  it('keeps dead letters until they are removed, page by page, oldest first', async () => {
    const shop = await started();
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
    expect((await groups()).filter((group) => group.includes(service))).toEqual([]);
  });

  it('stores a rejected message, however large, before it is gone from its channel', async () => {
    const shop = await started({ partitions: 1 });
    const received = await shop.subscribe('Receipt', channel, keepAll);
    const body = Buffer.alloc(1_000_000, 7);
    expect(await shop.provider.publish([{ ...message(channel), body }])).toEqual([]);
    await until('it arrives', () => received.deliveries.length === 1);
    const letter = { ...letterOf('big', channel), message: { ...letterOf('big', channel).message, body } };
    await received.deliveries[0]?.settle({ kind: 'reject', letter });
    const { letters } = await shop.provider.deadLetters.scan({ limit: 10 });
    expect(letters).toHaveLength(1);
    expect(Buffer.from(letters[0]?.message.body ?? []).equals(body)).toBe(true);
    await until('it is gone from the channel', async () => (await committed('Receipt')) === 1);
  });

  it('reports only the messages that failed', async () => {
    const shop = await started({ partitions: 1, topicConfig: { 'max.message.bytes': '20000' } });
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
    const strict = new TestProcess(service, { brokers }, { topology: 'check' });
    processes.push(strict);
    await expect(strict.start(channel)).rejects.toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringMatching(new RegExp(`${channel}.*kafka-topics`)),
    });
  });

  it('loses none of 10,000 messages of many senders, and keeps the order of each key', async () => {
    const shop = await started({ partitions: 6 });
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

  async function withAdmin<T>(work: (admin: kafkajs.Admin) => Promise<T>): Promise<T> {
    const admin = new kafkajs.Kafka({ brokers, logLevel: kafkajs.logLevel.NOTHING }).admin();
    await admin.connect();
    try {
      return await work(admin);
    } finally {
      await admin.disconnect();
    }
  }
  async function groups(): Promise<string[]> {
    return withAdmin(async (admin) => (await admin.listGroups()).groups.map(({ groupId }) => groupId));
  }
  async function membersOf(name: string): Promise<number> {
    return withAdmin(
      async (admin) => (await admin.describeGroups([`${service}.${name}`])).groups[0]?.members.length ?? 0,
    );
  }
  async function committed(name: string): Promise<number> {
    const [topic] = await withAdmin((admin) =>
      admin.fetchOffsets({ groupId: `${service}.${name}`, topics: [channel] }),
    );
    return Number(topic?.partitions[0]?.offset);
  }
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
