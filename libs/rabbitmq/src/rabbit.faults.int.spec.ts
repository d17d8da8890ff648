import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RabbitMqBroker, startOwnRabbitMq, writeQueuesDown } from '../../../test/brokers/brokers.js';
import { acceptAll, keepAll, message, type Received, TestService, until } from './rabbit.fixture.js';
import { Load } from './rabbit.load.fixture.js';

const PATIENCE = 300_000;

describe('the RabbitMQ provider when the broker is in trouble', () => {
  let rabbit: RabbitMqBroker | undefined;
  let service: TestService;
  let channel: string;
  beforeAll(async () => {
    const had = await startOwnRabbitMq();
    if (had.available) rabbit = had;
  }, PATIENCE);
  beforeEach(({ skip }) => {
    skip(rabbit === undefined, 'no RabbitMQ');
    service = new TestService(own().access);
    ({ channel } = service);
  });
  afterEach(() => service?.stop());
  afterAll(() => rabbit?.close());

  function own(): RabbitMqBroker {
    if (rabbit === undefined) throw new Error('The test should have been skipped.');
    return rabbit;
  }

  const wait = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));

  const faultsOf = ({ failures, sent, handled, disorder }: Load): unknown => ({
    failures,
    lost: sent - handled,
    disorder,
  });
  const NONE = { failures: [], lost: 0, disorder: [] };

  it('loses nothing and keeps the order of keys while the broker is killed under load, twice', async () => {
    const most = Number(process.env['RABBIT_LOAD'] ?? 20_000);
    const shop = await service.started({}, { publishTimeout: 60_000 });
    let load: Load | undefined;
    await shop.subscribe('Receipt', channel, (delivery) => load?.receive(delivery));
    await writeQueuesDown(own());
    load = new Load(shop, channel);
    for (const share of [0.2, 0.5]) {
      const { stored } = load;
      await until('it is under load', () => load.stored > Math.max(stored, most * share));
      await own().kill();
      await until('messages wait', () => load.sent > load.stored);
      await until('it is noticed', () => shop.context.statuses.at(-1) === 'disconnected');
      await own().restart();
      // Those who send may have their connection before those who receive.
      await until('it is whole again', () => shop.context.statuses.at(-1) === 'connected');
    }
    await until('enough is sent', () => load.sent >= most);
    await load.end();
    await until('all are handled', () => load.handled === load.sent);
    expect(faultsOf(load)).toEqual(NONE);
    // Only what was under way, or in hand, when it was killed: at most a window of each, twice.
    expect(load.repeated).toBeLessThan(2 * (4_096 + 256 + 128));
    // Told at each change, which on a busy machine may be more than two: a broker may go away once more while it comes up.
    const { statuses } = shop.context;
    expect(statuses).toEqual(statuses.map((_, index) => (index % 2 === 0 ? 'connected' : 'disconnected')));
    expect([statuses.length >= 5, statuses.at(-1)]).toEqual([true, 'connected']);
  });

  it('loses nothing while connections and channels are closed at random, from both sides', async () => {
    const [one, two, sender] = [await service.started(), await service.started(), await service.started()];
    let load: Load | undefined;
    const receive: Parameters<typeof one.subscribe>[2] = (delivery) => load?.receive(delivery);
    const received = [
      await one.subscribe('Receipt', channel, receive),
      await two.subscribe('Receipt', channel, receive),
    ];
    load = new Load(sender, channel, 8_000);
    const faults: (() => unknown)[] = [
      () => one.proxy.reset(),
      () => own().control('close_all_connections', 'for a test'),
      () => sender.proxy.reset(),
      () => own().control('eval', '[rabbit_channel:shutdown(P) || P <- rabbit_channel:list()].'),
      () => two.proxy.reset(),
      () => own().control('eval', '[exit(P, kill) || P <- rabbit_networking:connections()].'),
    ];
    for (const fault of faults) {
      const { handled } = load;
      await until('some are handled', () => load.handled > handled + 200 || load.handled >= 8_000);
      await fault();
    }
    await load.ended();
    await until('all are handled', () => load.handled === load.sent);
    expect(faultsOf(load)).toEqual(NONE);
    expect(received.some(({ revoked }) => revoked.length > 0)).toBe(true);
  });

  it('gives what a process had to another when it dies, or is silent past its heartbeat, and in order', async () => {
    const sender = await service.started();
    const processes = [await service.started(), await service.started(), await service.started()];
    let load: Load | undefined;
    for (const one of processes) await one.subscribe('Receipt', channel, (delivery) => load?.receive(delivery));
    load = new Load(sender, channel);
    await until('some are handled', () => load.handled > 500);
    processes[0]?.proxy.cut();
    const atDeath = load.handled;
    await until('another goes on', () => load.handled > atDeath + 500);
    processes[1]?.proxy.freeze();
    await wait(2_000);
    const frozen = load.handled;
    await until('yet another goes on', () => load.handled > frozen + 500);
    processes[1]?.proxy.thaw();
    await until('the silent one is back', () => processes[1]?.context.statuses.at(-1) === 'connected');
    await load.end();
    await until('all are handled', () => load.handled === load.sent);
    expect(faultsOf(load)).toEqual(NONE);
  });

  it('waits for a broker that is away at start', async () => {
    await own().kill();
    const shop = await service.process();
    const starting = shop.start(channel);
    await until('it is told', () => shop.context.statuses.includes('disconnected'));
    await own().restart();
    await starting;
    await shop.publish(channel, ['a']);
    expect(shop.context.statuses).toEqual(['disconnected', 'connected']);
    // Told at each change, not at each attempt.
    expect(shop.context.lines.filter((line) => line.startsWith('warn EVT_CONNECTION'))).toHaveLength(1);
  });

  it('can be stopped while the broker is away', async () => {
    const shop = await service.started();
    await shop.subscribe('Receipt', channel, keepAll);
    const waiting = await service.process();
    await writeQueuesDown(own());
    await own().kill();
    const starting = expect(waiting.start(channel)).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    const lost = shop.provider.publish([message(channel)]);
    const began = Date.now();
    await Promise.all([shop.stop(), waiting.stop(), starting]);
    expect(Date.now() - began).toBeLessThan(15_000);
    expect(await lost).toMatchObject([{ error: { code: 'EVT_NOT_RUNNING' } }]);
    await own().restart();
  });

  it('says of a message that a silent broker may have, that it may be stored, and of another that it is not', async () => {
    const shop = await service.started({ maxUnconfirmed: 1 }, { publishTimeout: 1_500 });
    await shop.publish(channel, ['a']);
    await own().suspend();
    // The signal takes effect a little later than it is sent.
    await wait(300);
    const failures = await shop.provider.publish([message(channel, { text: 'b' }), message(channel, { text: 'c' })]);
    expect(failures).toMatchObject([
      { indeterminate: true, error: { code: 'EVT_PUBLISH_TIMEOUT', indeterminate: true } },
      { indeterminate: false, error: { code: 'EVT_PUBLISH_TIMEOUT', indeterminate: false } },
    ]);
    await own().resume();
    await until('it is back', () => shop.context.statuses.at(-1) === 'connected');
    await shop.publish(channel, ['d']);
  });

  it('sends wait while the broker has an alarm, and go on when it has none', async () => {
    const shop = await service.started({}, { publishTimeout: PATIENCE });
    const received = await shop.subscribe('Receipt', channel);
    await shop.publish(channel, ['a']);
    await own().control('set_vm_memory_high_watermark', '0');
    try {
      const sent = shop.publish(channel, ['b']);
      await until('it is told', () => shop.context.lines.some((line) => line.includes('takes no messages for now')));
      expect(received.texts).toEqual(['a']);
      await own().control('set_vm_memory_high_watermark', '0.9');
      await sent;
      await until('it arrives', () => received.texts.includes('b'));
    } finally {
      await own().control('set_vm_memory_high_watermark', '0.9');
    }
  });

  it('ignores what is settled after the connection was lost, and blames nothing for that', async () => {
    const shop = await service.started();
    const received: Received = await shop.subscribe('Receipt', channel, keepAll);
    await shop.publish(channel, ['a', 'b', 'c'], { key: 'k' });
    await until('all are delivered', () => received.deliveries.length === 3);
    const before = received.deliveries.slice();
    shop.proxy.reset();
    await until('all come back', () => received.deliveries.length === 6);
    for (const delivery of before) acceptAll(delivery);
    expect(received.deliveries.slice(3)).toMatchObject(before.map(({ position }) => ({ position, attempt: 1 })));
    expect(await received.handle?.lag()).toBe(3);
  });
});
