import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, expect, it } from 'vitest';
import { contextOf, FakeSubscriber, message, subscribe, World } from './memory.fixture.js';
import { MemoryBroker } from './memory.broker.js';
import { memory } from './memory.provider.js';

describe('the in-memory provider', () => {
  it('gives each subscription a copy, as it was sent', async () => {
    const world = new World();
    const app = await world.application();
    const [receipt, audit] = [new FakeSubscriber(), new FakeSubscriber()];
    await subscribe(app, receipt);
    await subscribe(app, audit, { name: 'Audit' });
    const sent = message('1', { headers: { ce_id: 'x' }, key: 'k1', time: 42 });
    expect(await app.publish([sent])).toEqual([]);
    await world.broker.idle();
    for (const { deliveries } of [receipt, audit]) {
      expect(deliveries).toHaveLength(1);
      const { channel, key, headers, body, time, attempt, source, position } = deliveries[0]!;
      expect({ channel, key, headers, time, attempt }).toEqual({
        channel: 'orders',
        key: 'k1',
        headers: { ce_id: 'x' },
        time: 42,
        attempt: 1,
      });
      expect(body).toBe(sent.body);
      expect(position).toBe(`${source.slice('orders/'.length)}@0`);
    }
  });

  it('lets instances of one subscription compete, and services not', async () => {
    const world = new World();
    const [a, b, other] = [new FakeSubscriber(), new FakeSubscriber(), new FakeSubscriber()];
    const app = await world.application('a');
    await subscribe(app, a);
    await subscribe(await world.application('b'), b);
    await subscribe(await world.application('c', { service: 'mail' }), other);
    await world.rest();
    await app.publish(Array.from({ length: 64 }, (_, index) => message(String(index), { key: undefined })));
    await world.broker.idle();
    expect(a.deliveries).toHaveLength(32);
    expect(b.deliveries).toHaveLength(32);
    expect(new Set([...a.texts, ...b.texts]).size).toBe(64);
    expect(other.deliveries).toHaveLength(64);
  });

  it('delivers keyless messages to a single member in the order sent', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    const sent = Array.from({ length: 100 }, (_, index) => String(index));
    await app.publish(sent.map((body) => message(body, { key: undefined })));
    await world.broker.idle();
    expect(subscriber.texts).toEqual(sent);
  });

  it('gives each process of a perProcess subscription a copy from now on, and leaves nothing behind', async () => {
    const world = new World();
    const [a, b] = [new FakeSubscriber(), new FakeSubscriber()];
    const [first, second] = [await world.application('a'), await world.application('b')];
    await subscribe(first, a, { perProcess: true });
    await first.publish([message('1')]);
    await subscribe(second, b, { perProcess: true });
    await first.publish([message('2')]);
    await world.broker.idle();
    expect(a.texts).toEqual(['1', '2']);
    expect(b.texts).toEqual(['2']);
    await first.stop();
    await second.stop();
    expect(world.broker.queues()).toEqual([]);
  });

  it('keeps the queue of a durable subscription while nobody is there, and drops another with its last member', async () => {
    const world = new World();
    const app = await world.application();
    const handles = [
      await subscribe(app, new FakeSubscriber()),
      await subscribe(app, new FakeSubscriber(), { name: 'Passing', durable: false }),
    ];
    for (const handle of handles) await handle.stop();
    await app.publish([message('1'), message('2')]);
    const [kept, passing] = [new FakeSubscriber(), new FakeSubscriber()];
    await subscribe(app, kept);
    await subscribe(app, passing, { name: 'Passing', durable: false });
    await world.broker.idle();
    expect(kept.texts).toEqual(['1', '2']);
    expect(passing.texts).toEqual([]);
  });

  it('keeps a non-durable shared queue until its last member leaves', async () => {
    const world = new World();
    const app = await world.application('a');
    const b = new FakeSubscriber();
    const handle = await subscribe(app, new FakeSubscriber(), { durable: false });
    await subscribe(await world.application('b'), b, { durable: false });
    await handle.stop();
    await app.publish([message('1')]);
    await world.broker.idle();
    expect(b.texts).toEqual(['1']);
  });

  it('never delivers inside publish, nor in the asynchronous context of the sender', async () => {
    const world = new World();
    const request = new AsyncLocalStorage<string>();
    const seen: (string | undefined)[] = [];
    const app = await world.application();
    await subscribe(
      app,
      new FakeSubscriber((delivery) => {
        seen.push(request.getStore());
        void delivery.settle({ kind: 'accept' });
      }),
    );
    await request.run('a request', async () => {
      const published = app.publish([message('1'), message('2')]);
      expect(seen).toEqual([]);
      await published;
    });
    await world.broker.idle();
    expect(seen).toEqual([undefined, undefined]);
  });

  it('sends a message with `to` to that subscription of the same service alone, and fails where there is none', async () => {
    const world = new World();
    const [receipt, audit, foreign, late] = Array.from({ length: 4 }, () => new FakeSubscriber());
    const app = await world.application();
    await subscribe(app, receipt!);
    await subscribe(app, audit!, { name: 'Audit' });
    await subscribe(await world.application('b', { service: 'mail' }), foreign!);
    const failures = await app.publish([message('1', { to: 'Receipt' }), message('2', { to: 'Nobody' })]);
    await subscribe(app, late!, { name: 'Late', from: 'earliest' });
    await world.broker.idle();
    expect(receipt!.texts).toEqual(['1']);
    expect([...audit!.texts, ...foreign!.texts, ...late!.texts]).toEqual([]);
    expect(failures).toMatchObject([{ index: 1, indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } }]);
    expect(failures[0]?.error.message).toMatch(/"shop" has no subscription "Nobody" on channel "orders"/);
  });

  it('pauses and resumes without giving up its membership', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    const handle = await subscribe(app, subscriber);
    handle.pause();
    await app.publish([message('1')]);
    await world.rest();
    expect(subscriber.texts).toEqual([]);
    expect(world.broker.queues()).toMatchObject([{ members: 1, waiting: 1, unsettled: 0 }]);
    handle.resume();
    await subscriber.received(1);
  });

  it('delivers nothing more once pause() was called from deliver()', async () => {
    const world = new World();
    const app = await world.application();
    const handles: { pause(): void }[] = [];
    const subscriber = new FakeSubscriber(() => handles[0]?.pause());
    handles.push(await subscribe(app, subscriber));
    await app.publish([message('1'), message('2')]);
    await world.rest();
    expect(subscriber.texts).toEqual(['1']);
  });

  it('gives each application a broker of its own, unless one is shared', async () => {
    const factory = memory();
    const [one, other] = [factory.create(contextOf('a')), factory.create(contextOf('b'))];
    const subscriber = new FakeSubscriber();
    await one.start([{ name: 'orders', durable: true }]);
    await other.start([]);
    await subscribe(one, subscriber);
    await other.publish([message('elsewhere')]);
    await one.publish([message('here')]);
    await subscriber.received(1);
    expect(subscriber.texts).toEqual(['here']);
  });

  it("under topology 'check' refuses channels that a shared broker does not have", async () => {
    const world = new World();
    const provider = memory({ broker: world.broker }).create(contextOf('a', { topology: 'check' }));
    const plan = [{ name: 'orders', durable: true }];
    await expect(provider.start(plan)).rejects.toMatchObject({ code: 'EVT_TOPOLOGY', message: /"orders"/ });
    world.broker.createChannels('orders');
    await provider.start(plan);
    await memory()
      .create(contextOf('b', { topology: 'check' }))
      .start(plan);
  });

  it('names every option that cannot be used', () => {
    const options = { partitions: 0, capacity: 1.5, largestMessage: 10, capacityBytes: 5, colour: 'red' };
    expect(() => memory(options)).toThrow(/partitions must be.*capacity must be.*capacityBytes \(5\)/);
    expect(() => memory(options)).toThrow(/no option "colour"/);
    expect(() => memory({ broker: new MemoryBroker(), capacity: 5 })).toThrow(/capacity cannot be given beside broker/);
  });

  it('declares replay only where it keeps messages', () => {
    expect(memory().create(contextOf('a')).abilities).toMatchObject({
      order: 'cluster',
      durable: 'process',
      replay: true,
    });
    expect(memory({ retain: 0 }).create(contextOf('a')).abilities.replay).toBe(false);
  });

  it('publishes and subscribes no more once stopped, and says so', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    await app.stop();
    await app.stop();
    await expect(app.publish([message('1')])).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    await expect(subscribe(app, subscriber)).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    expect(world.broker.queues()).toMatchObject([{ members: 0 }]);
  });
});
