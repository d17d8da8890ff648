import type { Delivery } from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import { until } from './kafka.fixture.js';
import { accept, acceptAll, keepAll, numbers, TestService, type Received } from './kafka.process.fixture.js';
import { FIND_COORDINATOR, MeddlingNetwork, READ_POSITIONS, SYNC_GROUP } from './meddling.network.fixture.js';

const brokers = inject('kafkaBrokers');

describe.skipIf(brokers.length === 0)('subscriptions on Kafka', () => {
  let service: TestService;
  let channel: string;
  beforeEach(() => {
    service = new TestService(brokers);
    ({ channel } = service);
  });
  afterEach(() => service.stop());

  it('gives each subscription a copy, and shares one between processes', async () => {
    const [one, two] = [await service.started(), await service.started()];
    const receipts = await Promise.all([one, two].map((shop) => shop.subscribe('Receipt', channel)));
    const stock = await one.subscribe('Stock', channel);
    await until('both have partitions', async () => (await service.membersOf('Receipt')) === 2);
    await Promise.all(numbers(300).map((text) => one.publish(channel, [text], { key: text })));
    await until(
      'all arrive',
      () => stock.texts.length === 300 && receipts.flatMap(({ texts }) => texts).length === 300,
    );
    expect(new Set(receipts.flatMap(({ texts }) => texts)).size).toBe(300);
    for (const { texts } of receipts) expect(texts.length).toBeGreaterThan(0);
  });

  it('gives each process a copy from now on, and leaves nothing behind', async () => {
    const [one, two] = [await service.started(), await service.started()];
    await one.publish(channel, ['before']);
    const copies = await Promise.all(
      [one, two].map((shop) => shop.subscribe('Cache', channel, acceptAll, { perProcess: true })),
    );
    await one.publish(channel, numbers(30));
    await until('both have all', () => copies.every(({ texts }) => texts.length === 30));
    for (const { texts } of copies) expect(texts).not.toContain('before');
    for (const { handle } of copies) await handle?.stop();
    expect(await service.groups()).toEqual([]);
  });

  it('begins with what follows the first subscription, even if nothing was handled before a crash', async () => {
    const first = await service.started();
    await first.publish(channel, ['before']);
    await first.subscribe('Receipt', channel, keepAll);
    first.network.cut();
    const second = await service.started();
    await second.publish(channel, ['after']);
    const received = await second.subscribe('Receipt', channel);
    await until('it arrives', () => received.texts.includes('after'));
    expect(received.texts).toEqual(['after']);
  });

  it('begins where it is told: earliest, a time, positions', async () => {
    const shop = await service.started({ partitions: 1 });
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
    const first = await service.started({ partitions: 1 });
    const before = await first.subscribe('Receipt', channel, keepAll);
    await first.publish(channel, numbers(6));
    await until('all arrive', () => before.texts.length === 6);
    for (const index of [0, 1, 3, 5]) accept(before.deliveries[index]);
    await until('it is committed', async () => (await service.committed('Receipt')) === 2);
    first.network.cut();
    const second = await service.started({ partitions: 1 });
    const after = await second.subscribe('Receipt', channel);
    await until('the rest arrives', () => after.texts.length === 2);
    await second.publish(channel, ['6']);
    await until('the next arrives', () => after.texts.length === 3);
    expect(after.texts).toEqual(['2', '4', '6']);
    // The head was in work when the process died, and that is known.
    expect(after.deliveries.map(({ attempt }) => attempt)).toEqual([2, 1, 1]);
  });

  it('counts no crash when a process stops in good order', async () => {
    const first = await service.started({ partitions: 1 });
    const before = await first.subscribe('Receipt', channel, keepAll);
    await first.publish(channel, ['a']);
    await until('it arrives', () => before.texts.length === 1);
    await first.stop();
    const second = await service.started({ partitions: 1 });
    const after = await second.subscribe('Receipt', channel);
    await until('it arrives again', () => after.texts.length === 1);
    expect(after.deliveries[0]?.attempt).toBe(1);
  });

  it('stays in its group while everything is paused, longer than its session', async () => {
    const shop = await service.started({ partitions: 1, sessionTimeout: 6_000, heartbeatInterval: 200 });
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

  it('moves partitions in good order when a process comes or goes: nothing twice', async () => {
    const one = await service.started({ partitions: 6 });
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
    const two = await service.started({ partitions: 6 });
    const second = await two.subscribe('Receipt', channel, slow, { window: 8 });
    second.onRevoked = first.onRevoked;
    await until('the second has some', () => second.deliveries.length > 50);
    expect(first.revoked.length).toBeGreaterThan(0);
    await until('all are handled', () => new Set(handled).size === 600);
    // Delivered and not begun when its partition moved, at most a window of each: handed over, not handled twice.
    expect(handled).toHaveLength(600);
  });

  it('lets processes with different channels share a group', async () => {
    const other = `${service.name}.payments`;
    const old = await service.started();
    const before = await old.subscribe('Ledger', channel);
    const fresh = await service.started();
    const after = await fresh.subscribe('Ledger', channel, acceptAll, { channels: [channel, other] });
    await fresh.publish(channel, numbers(60));
    await fresh.publish(other, numbers(60, 100));
    await until('all arrive', () => before.texts.length + after.texts.length === 120);
    expect(before.deliveries.every((delivery) => delivery.channel === channel)).toBe(true);
    expect(after.texts.filter((text) => Number(text) >= 100)).toHaveLength(60);
  });

  it('asks for its positions who let it in, and nobody whom others name by then', async () => {
    const network = new MeddlingNetwork();
    const asked: number[] = [];
    network.meddle = ({ api }) => {
      asked.push(api);
      return 'go';
    };
    const shop = await service.started({ openSocket: network.open });
    asked.length = 0;
    await shop.subscribe('Receipt', channel);
    const since = asked.slice(asked.indexOf(SYNC_GROUP));
    expect(since).toContain(READ_POSITIONS);
    expect(since.slice(0, since.indexOf(READ_POSITIONS))).not.toContain(FIND_COORDINATOR);
  });
});
