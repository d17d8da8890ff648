import { randomUUID } from 'node:crypto';
import type { Delivery } from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { closeSessions } from '../../../test/brokers/artemis/artemis-management.js';
import { type ArtemisBroker, startOwnArtemis } from '../../../test/brokers/brokers.js';
import { control, message, Network, TestProcess, textOf, until } from './amqp.fixture.js';

const PATIENCE = 300_000;
const KEYS = 20;
/** As many as a run of all tests has time for; EVENTS=20000 for more. */
const EVENTS = Number(process.env['EVENTS'] ?? 6_000);

describe('the AMQP provider when the broker is in trouble', () => {
  let artemis: ArtemisBroker | undefined;
  const processes: TestProcess[] = [];
  let service: string;
  let channel: string;

  beforeAll(async () => {
    const had = await startOwnArtemis();
    if (had.available) artemis = had;
  }, PATIENCE);
  beforeEach(({ skip }) => {
    skip(artemis === undefined, 'no Artemis');
    const id = randomUUID().slice(0, 8);
    service = `shop-${id}`;
    channel = `orders-${id}`;
  });
  afterEach(async () => {
    await Promise.all(processes.splice(0).map((each) => each.stop()));
  });
  afterAll(() => artemis?.close());

  function own(): ArtemisBroker {
    if (artemis === undefined) throw new Error('The test should have been skipped.');
    return artemis;
  }

  async function started(network = new Network()): Promise<TestProcess> {
    const one = new TestProcess(own().access, service, { openSocket: network.open }, { publishTimeout: 90_000 });
    processes.push(one);
    await one.start(channel);
    return one;
  }

  /** Sends them all, some dozens a turn, and says how many have their answer. */
  function load(shop: TestProcess) {
    const progress = { stored: 0, failures: [] as unknown[] };
    const all = (async () => {
      const calls: Promise<void>[] = [];
      for (let n = 0; n < EVENTS; n += KEYS) {
        const batch = Array.from({ length: KEYS }, (_, index) =>
          message(channel, { key: `k${index}`, text: String(n / KEYS) }),
        );
        calls.push(
          shop.provider.publish(batch).then((failures) => {
            progress.failures.push(...failures);
            progress.stored += KEYS - failures.length;
          }),
        );
        await new Promise((resolve) => setTimeout(resolve, 3));
      }
      await Promise.all(calls);
    })();
    return { progress, all };
  }

  /** Of each key, the numbers in the order of their first delivery. */
  function firsts(deliveries: readonly Delivery[]): Map<string, number[]> {
    const byKey = new Map<string, Set<number>>();
    for (const delivery of deliveries) {
      const key = delivery.key ?? '';
      const numbers = byKey.get(key) ?? new Set<number>();
      byKey.set(key, numbers.add(Number(textOf(delivery))));
    }
    return new Map([...byKey].map(([key, numbers]) => [key, [...numbers]]));
  }

  async function expectAll(...from: readonly TestProcess[]): Promise<void> {
    const seen = () => from.flatMap(({ deliveries }) => deliveries);
    const wanted = Array.from({ length: EVENTS / KEYS }, (_, n) => n);
    const distinct = () => new Set(seen().map((delivery) => `${delivery.key}/${textOf(delivery)}`)).size;
    await until('all are there', () => distinct() === EVENTS, 120_000);
    for (const [key, numbers] of firsts(seen())) expect(numbers, key).toEqual(wanted);
  }

  it('loses nothing and keeps each key in order while the broker is killed twice under load', async () => {
    const [sender, reader] = [await started(), await started()];
    await reader.subscribe('Receipt', channel);
    const { progress, all } = load(sender);
    for (const share of [0.2, 0.5]) {
      await until('it is under load', () => progress.stored > EVENTS * share);
      await own().kill();
      await new Promise((resolve) => setTimeout(resolve, 200));
      await own().restart();
    }
    await all;
    expect(progress.failures).toEqual([]);
    await expectAll(reader);
  });

  it('loses nothing where both sides close connections at random', async () => {
    const network = new Network();
    const [sender, reader] = [await started(network), await started(network)];
    await reader.subscribe('Receipt', channel);
    const { progress, all } = load(sender);
    let over = false;
    const trouble = (async () => {
      for (let round = 0; !over; round++) {
        await new Promise((resolve) => setTimeout(resolve, 300 + Math.random() * 500));
        if (round % 3 === 0) network.breakAll();
        else if (round % 3 === 1) await own().closeConnections();
        else await closeSessions(own().access);
      }
    })();
    await all;
    over = true;
    await trouble;
    expect(progress.failures).toEqual([]);
    await expectAll(reader);
  });

  it('notices that the broker ends a session alone, and goes on', async () => {
    const [sender, reader] = [await started(), await started()];
    await reader.subscribe('Receipt', channel);
    for (let round = 0; round < 4; round++) {
      expect(await closeSessions(own().access)).toBeGreaterThan(0);
      expect(await sender.provider.publish([message(channel, { text: String(round) })])).toEqual([]);
      await until('it is handled', () => reader.texts.includes(String(round)));
    }
    const began = Date.now();
    await reader.stop();
    expect(Date.now() - began).toBeLessThan(15_000);
  });

  it('notices that the broker ends a link alone, with its queue, and makes both again', async () => {
    const [sender, reader] = [await started(), await started()];
    await reader.subscribe('Receipt', channel);
    const queue = `${channel}:${service}:Receipt`;
    const isThere = async (): Promise<boolean> => {
      const names = (await control(own().access, 'broker', 'getQueueNames')) as string[];
      return names.includes(queue);
    };
    for (let round = 0; round < 3; round++) {
      await control(own().access, 'broker', 'destroyQueue', queue, true, false);
      await until('the queue is there again', isThere);
      expect(await sender.provider.publish([message(channel, { text: String(round) })])).toEqual([]);
      await until('it is handled', () => reader.texts.includes(String(round)));
    }
    expect(reader.context.statuses).toEqual(['connected']);
  });

  it('hands over to another process when a consumer is cut off for good', async () => {
    const network = new Network();
    const [sender, first] = [await started(), await started(network)];
    await first.subscribe('Receipt', channel);
    const second = await started();
    await second.subscribe('Receipt', channel);
    const { progress, all } = load(sender);
    await until('it is under load', () => first.deliveries.length > EVENTS * 0.2);
    network.cut();
    await all;
    expect(progress.failures).toEqual([]);
    await expectAll(first, second);
    expect(second.deliveries.length).toBeGreaterThan(0);
  });

  it('keeps deferred messages and dead letters over a restart', async () => {
    const shop = await started();
    let notBefore = 0;
    let safe: Promise<void> | void = undefined;
    const handle = await shop.subscribe('Receipt', channel, (delivery) => {
      notBefore ||= Date.now() + 4_000;
      if (delivery.attempt === 1) safe = delivery.settle({ kind: 'defer', notBefore, attempt: 2 });
      else void delivery.settle({ kind: 'accept' });
    });
    await shop.provider.publish([message(channel)]);
    await until('it is deferred', () => safe !== undefined);
    await safe;
    await until('the original is gone', async () => (await handle.lag()) === 1);
    await own().kill();
    await own().restart();
    await until('it comes back', () => shop.deliveries.length === 2);
    expect(Date.now()).toBeGreaterThanOrEqual(notBefore);
  });

  it('makes addresses and queues again when the broker comes back without them', async () => {
    const shop = await started();
    await shop.subscribe('Receipt', channel);
    await shop.provider.publish([message(channel, { text: 'a' })]);
    await until('it is handled', () => shop.texts.includes('a'));
    await own().wipe();
    await until('the queue is there again', async () => {
      const names = (await control(own().access, 'broker', 'getQueueNames').catch(() => [])) as string[];
      return names.includes(`${channel}:${service}:Receipt`);
    });
    await shop.provider.publish([message(channel, { text: 'b' })]);
    await until('the next is handled', () => shop.texts.includes('b'));
    expect(shop.texts).toEqual(['a', 'b']);
  });

  it('says of a message that a silent broker may have, that it may be stored', async () => {
    const shop = new TestProcess(own().access, service, { idleTimeout: 60_000 }, { publishTimeout: 1_000 });
    processes.push(shop);
    await shop.start(channel);
    await shop.provider.publish([message(channel)]);
    await own().suspend();
    const [failure] = await shop.provider.publish([message(channel, { text: 'b' })]);
    expect(failure).toMatchObject({ indeterminate: true, error: { code: 'EVT_PUBLISH_TIMEOUT', indeterminate: true } });
    await own().resume();
    expect(await shop.provider.publish([message(channel, { text: 'c' })])).toEqual([]);
  });
});
