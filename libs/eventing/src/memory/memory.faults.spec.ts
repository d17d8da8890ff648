import { describe, expect, it } from 'vitest';
import { ACCEPT, FakeSubscriber, letterFor, message, subscribe, World } from './memory.fixture.js';

describe('faults: connection', () => {
  it('publishes in call order what waited, before anything newer', async () => {
    const world = new World();
    const statuses: string[] = [];
    const app = await world.application('a', {
      onStatus: (status) => {
        statuses.push(status);
        if (statuses.length === 3) void app.publish([message('4')]);
      },
    });
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    world.broker.faults.disconnect();
    world.broker.faults.disconnect();
    const waiting = [app.publish([message('1'), message('2')]), app.publish([message('3')])];
    await world.clock.advance(29_999);
    expect(subscriber.texts).toEqual([]);
    world.broker.faults.connect();
    expect(await Promise.all(waiting)).toEqual([[], []]);
    await world.broker.idle();
    expect(subscriber.texts).toEqual(['1', '2', '3', '4']);
    expect(statuses).toEqual(['connected', 'disconnected', 'connected']);
  });

  it('fails each message at publishTimeout, and never stores it afterwards', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    world.broker.faults.disconnect();
    const published = app.publish([message('1'), message('2')]);
    await world.clock.advance(30_000);
    const failure = {
      indeterminate: false,
      error: { code: 'EVT_PUBLISH_TIMEOUT', message: /30000 ms \(publishTimeout\)/ },
    };
    expect(await published).toMatchObject([
      { index: 0, ...failure },
      { index: 1, ...failure },
    ]);
    world.broker.faults.connect();
    await world.rest();
    expect(subscriber.texts).toEqual([]);
    expect(world.clock.pending).toBe(0);
  });

  it('takes unsettled messages back, ignores late settlements, and delivers again in order after connect()', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber);
    await app.publish(['1', '2', '3'].map((body) => message(body)));
    await subscriber.received(3);
    void subscriber.at(1).settle(ACCEPT);
    world.broker.faults.disconnect();
    expect(subscriber.revocations.flat()).toContain(subscriber.at(0).source);
    void subscriber.at(0).settle(ACCEPT);
    await subscriber.at(2).settle({ kind: 'reject', letter: letterFor(subscriber.at(2), 'L') });
    await world.rest();
    expect(subscriber.deliveries).toHaveLength(3);
    world.broker.faults.connect();
    await world.rest();
    expect(subscriber.texts.slice(3)).toEqual(['1', '3']);
    expect(subscriber.attempts.slice(3)).toEqual([1, 1]);
    expect((await app.deadLetters.scan({ limit: 1 })).letters).toEqual([]);
  });

  it('does not deliver again before the subscriber has stopped working on what it lost', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber);
    await app.publish([message('1')]);
    await subscriber.received(1);
    subscriber.onRevoked = () => new Promise(() => undefined);
    world.broker.faults.disconnect();
    world.broker.faults.connect();
    await world.clock.advance(4_999);
    expect(subscriber.deliveries).toHaveLength(1);
    await world.clock.advance(1);
    expect(subscriber.deliveries).toHaveLength(2);
  });

  it('lets start() and subscribe() wait for the broker', async () => {
    const world = new World();
    const running = await world.application('a');
    world.broker.faults.disconnect();
    const starting = world.application('b');
    const subscriber = new FakeSubscriber();
    const subscribing = subscribe(running, subscriber);
    await world.rest();
    expect(world.broker.queues()).toEqual([]);
    world.broker.faults.connect();
    await Promise.all([starting, subscribing]);
    await running.publish([message('1')]);
    await subscriber.received(1);
  });

  it('ends what waits when the provider stops', async () => {
    const world = new World();
    const app = await world.application();
    world.broker.faults.disconnect();
    const published = app.publish([message('1')]);
    const subscribing = subscribe(app, new FakeSubscriber());
    await app.stop();
    expect(await published).toMatchObject([{ index: 0, error: { code: 'EVT_NOT_RUNNING' } }]);
    await expect(subscribing).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    expect(world.clock.pending).toBe(0);
  });

  it('goes on with a hand-over that the loss of the connection overtook', async () => {
    const world = new World({ partitions: 2 });
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const app = await world.application('a');
    await subscribe(app, a);
    await app.publish(['1', '2'].map((body) => message(body, { key: undefined })));
    await a.received(2);
    a.onRevoked = () => new Promise(() => undefined);
    await subscribe(await world.application('b'), b);
    world.broker.faults.disconnect();
    world.broker.faults.connect();
    await world.clock.advance(5_000);
    expect(a.deliveries).toHaveLength(3);
    expect(b.deliveries).toHaveLength(1);
    expect(new Set(Object.values(world.broker.queues()[0]!.owners))).toEqual(new Set(['a', 'b']));
  });
});

describe('faults: messages', () => {
  it('refuses the next so many that match, message by message', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    world.broker.faults.rejectNext(2, ({ id }) => id !== '1');
    expect(await app.publish(['1', '2', '3', '4'].map((body) => message(body)))).toMatchObject([
      { index: 1, indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED' } },
      { index: 2 },
    ]);
    await world.broker.idle();
    expect(subscriber.texts).toEqual(['1', '4']);
  });

  it('stores a message and keeps the confirmation', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    world.broker.faults.loseConfirmNext(1);
    expect(await app.publish([message('1')])).toMatchObject([
      { indeterminate: true, error: { code: 'EVT_PUBLISH_TIMEOUT', indeterminate: true } },
    ]);
    await world.broker.idle();
    expect(subscriber.texts).toEqual(['1']);
  });

  it('repeats a message right behind itself, at one position, for each subscription', async () => {
    const world = new World();
    const app = await world.application();
    const [receipt, audit] = [new FakeSubscriber(), new FakeSubscriber()];
    await subscribe(app, receipt);
    await subscribe(app, audit, { name: 'Audit' });
    world.broker.faults.duplicateNext(1);
    await app.publish([message('1'), message('2')]);
    await world.broker.idle();
    expect(receipt.texts).toEqual(['1', '1', '2']);
    expect(audit.texts).toEqual(['1', '1', '2']);
    expect(receipt.at(0).position).toBe(receipt.at(1).position);
  });

  it('stores and does not deliver while delivery is paused', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    world.broker.faults.pauseDelivery();
    expect(await app.publish([message('1')])).toEqual([]);
    await world.rest();
    expect(world.broker.queues()).toMatchObject([{ waiting: 1 }]);
    world.broker.faults.resumeDelivery();
    await subscriber.received(1);
  });

  it('forgets every fault with clear()', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    const { faults } = world.broker;
    faults.rejectNext(5);
    faults.duplicateNext(5);
    faults.loseConfirmNext(5);
    faults.failDeadLetters(5);
    faults.pauseDelivery();
    faults.disconnect();
    faults.clear();
    expect(await app.publish([message('1')])).toEqual([]);
    await subscriber.received(1);
    await app.deadLetters.append(letterFor(subscriber.at(0), 'L'));
    await world.rest();
    expect(subscriber.texts).toEqual(['1']);
  });
});
