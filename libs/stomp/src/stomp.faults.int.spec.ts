import type { Delivery } from 'nestjs-eventing';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type ArtemisBroker, startOwnArtemis } from '../../../test/brokers/brokers.js';
import { acceptAll, FreezingProxy, keepAll, message, TestService, textOf, until } from './stomp.fixture.js';
import { Load } from './stomp.load.fixture.js';

const PATIENCE = 300_000;
/** Durable messages of a run; the full measure is taken by hand: `STOMP_LOAD=20000`. */
const TOTAL = Number(process.env['STOMP_LOAD'] ?? 6_000);

describe('the STOMP provider when the broker is in trouble', () => {
  let artemis: ArtemisBroker | undefined;
  let service: TestService;
  let channel: string;
  beforeAll(async () => {
    const had = await startOwnArtemis();
    if (had.available) artemis = had;
  }, PATIENCE);
  beforeEach(({ skip }) => {
    skip(artemis === undefined, 'no Artemis');
    service = new TestService(() => own().access);
    ({ channel } = service);
  });
  afterEach(() => service.stop());
  afterAll(() => artemis?.close());

  function own(): ArtemisBroker {
    if (artemis === undefined) throw new Error('The test should have been skipped.');
    return artemis;
  }

  /** Ends the load, and looks at what was delivered in whichever process, in the order of time. */
  async function judged(load: Load, deliveries: readonly Delivery[]): Promise<ReturnType<Load['orders']>> {
    await load.end();
    expect(load.failures).toEqual([]);
    const handled = (): number => new Set(deliveries.map((delivery) => `${delivery.key}/${textOf(delivery)}`)).size;
    await until('all are handled', () => handled() >= load.sent);
    return load.orders(deliveries);
  }

  it('loses nothing and keeps the order of keys while the broker is killed under load, twice', async () => {
    const shop = await service.process({}, { publishTimeout: 60_000 }).start(channel);
    const received = await shop.subscribe('Receipt', channel);
    const load = new Load(shop, channel, TOTAL);
    for (const share of [0.25, 0.6]) {
      await until('it is under load', () => load.stored > TOTAL * share);
      await own().kill();
      await until('it is noticed', () => shop.context.statuses.at(-1) === 'disconnected');
      await own().restart();
    }
    const { handled, sent } = await judged(load, received.deliveries);
    expect(handled).toEqual(sent);
  });

  it('loses nothing and keeps the order of keys while connections end at random, from both sides', async () => {
    const [shop, other] = [await service.started(), await service.started()];
    const deliveries: Delivery[] = [];
    for (const one of [shop, other])
      await one.subscribe('Receipt', channel, (delivery) => {
        deliveries.push(delivery);
        acceptAll(delivery);
      });
    const load = new Load(shop, channel, TOTAL);
    const over = judged(load, deliveries);
    over.catch(() => undefined);
    // Bounded: on a machine that is busy each round would undo what little the one before has reached.
    for (let round = 0; round < 60 && load.stored < TOTAL * 0.9 && load.failures.length === 0; round++) {
      await new Promise((resolve) => setTimeout(resolve, 50 + Math.random() * 250));
      if (round % 3 === 0) await own().closeConnections();
      else [shop, other][round % 2]?.network.breakAll();
    }
    const { handled, sent } = await over;
    expect(handled).toEqual(sent);
  });

  it('gives the messages of a process that stands still to another, in order, and heeds nothing of what it says later', async () => {
    const proxy = await FreezingProxy.to(own().access);
    const sleeper = await service.process({ port: proxy.port }).start(channel);
    const asleep = await sleeper.subscribe('Receipt', channel, keepAll);
    const other = await service.started();
    const awake = await other.subscribe('Receipt', channel, (delivery) => {
      if (delivery.key !== 'kept') acceptAll(delivery);
    });
    await other.publish(channel, ['0', '1'], { key: 'a' });
    await other.publish(channel, ['2'], { key: 'kept' });
    await until('the first has them', () => asleep.texts.length === 3);
    proxy.freeze();
    await until('the other has them', () => awake.texts.length === 3);
    await until('the sleeper knows', () => asleep.revoked.length > 0);
    for (const delivery of asleep.deliveries) acceptAll(delivery);
    proxy.thaw();
    await until('it is back', () => sleeper.context.statuses.at(-1) === 'connected');
    await awake.handle?.stop();
    await until('what nobody accepted comes back', () => asleep.texts.length > 3);
    expect(awake.texts).toEqual(['0', '1', '2']);
    expect(asleep.texts).toEqual(['0', '1', '2', '2']);
    proxy.close();
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
    await until('it is back', () => shop.context.statuses.at(-1) === 'connected');
    await shop.publish(channel, ['c']);
  });

  it('keeps what was deferred over a restart, and is not early with it', async () => {
    const shop = await service.started();
    let notBefore = 0;
    const times: number[] = [];
    const received = await shop.subscribe('Receipt', channel, (delivery) => {
      times.push(Date.now());
      if (times.length > 1) return acceptAll(delivery);
      notBefore = Date.now() + 6_000;
      void delivery.settle({ kind: 'defer', notBefore, attempt: 2 });
    });
    await shop.publish(channel, ['a'], { key: 'k', headers: { session: 's1' } });
    await until(
      'it is deferred',
      async () => (await service.count(service.queue('Receipt'))) === 1 && times.length === 1,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    await own().kill();
    await own().restart();
    await until('it comes back', () => times.length === 2);
    expect(times[1]).toBeGreaterThanOrEqual(notBefore);
    expect(received.deliveries[1]).toMatchObject({ attempt: 2, key: 'k', headers: { session: 's1' } });
  });

  it('makes its addresses and queues again when the broker comes back without them', async () => {
    const shop = await service.started();
    const received = await shop.subscribe('Receipt', channel);
    await shop.publish(channel, ['a'], { key: 'k' });
    await until('it is handled', () => received.texts.length === 1);
    await own().wipe();
    await until('it is back', () => shop.context.statuses.at(-1) === 'connected');
    await shop.publish(channel, ['b'], { key: 'k' });
    await until('the next is handled', () => received.texts.includes('b'));
    expect(received.texts).toEqual(['a', 'b']);
  });
});

describe('the STOMP provider and what it may do', () => {
  let artemis: ArtemisBroker | undefined;
  let service: TestService;
  const reader = { username: 'reader', password: 'reader-password' };
  const clerk = { username: 'clerk', password: 'clerk-password' };
  beforeAll(async () => {
    const anywhere = ['send', 'createNonDurableQueue', 'createAddress'] as const;
    const had = await startOwnArtemis({
      tls: true,
      users: [
        { ...reader, permissions: { '#': [...anywhere, 'consume'] } },
        {
          ...clerk,
          permissions: {
            'activemq.management': ['send', 'manage'],
            '#': anywhere,
            '*.replies': [...anywhere, 'consume'],
          },
        },
      ],
    });
    if (had.available) artemis = had;
  }, PATIENCE);
  beforeEach(({ skip }) => {
    skip(artemis === undefined, 'no Artemis');
    service = new TestService(() => (artemis as ArtemisBroker).access);
  });
  afterEach(() => service.stop());
  afterAll(() => artemis?.close());

  it('tells a user at the start what is not allowed, and tries no more', async () => {
    const shop = service.process(reader);
    const refused = shop.start(service.channel);
    await expect(refused).rejects.toMatchObject({ code: 'EVT_AUTHENTICATION' });
    await expect(refused).rejects.toThrow(/`send` and `manage` on activemq.management/);
    const { attempts } = shop.network;
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    expect(shop.network.attempts).toBe(attempts);
    expect(attempts).toBeLessThan(4);
    expect(shop.context.lines.join('\n')).not.toContain(reader.password);
  });

  it('tells a listener that may not consume', async () => {
    await (await service.started()).stop();
    const shop = await service.process(clerk).start(service.channel);
    const refused = shop.subscribe('Receipt', service.channel);
    await expect(refused).rejects.toMatchObject({ code: 'EVT_AUTHENTICATION' });
    await expect(refused).rejects.toThrow(/`consume` on the channels/);
    await shop.publish(service.channel, ['what it may do goes on']);
  });

  it('speaks TLS, and hears at once of a certificate that is not trusted', async () => {
    const { tls } = (artemis as ArtemisBroker).access;
    const encrypted = { port: tls?.stompPort ?? 0 };
    const shop = service.process({ ...encrypted, tls: { ca: tls?.ca ?? '' }, openSocket: undefined as never });
    await shop.start(service.channel);
    const received = await shop.subscribe('Receipt', service.channel);
    await shop.publish(service.channel, ['a']);
    await until('it arrives', () => received.texts.length === 1);
    const stranger = service.process({ ...encrypted, tls: true, openSocket: undefined as never });
    await expect(stranger.start(service.channel)).rejects.toMatchObject({
      code: 'EVT_CONNECTION',
      message: expect.stringContaining('TLS'),
    });
  });
});
