import { describe, expect, it } from 'vitest';
import { ACCEPT, FakeSubscriber, message, subscribe, World } from './memory.fixture.js';

const FULL = { indeterminate: false, error: { code: 'EVT_PUBLISH_FAILED', message: /is full.*raise capacity/ } };

describe('bounds', () => {
  it('refuses what does not fit, message by message and at once, and takes it when there is room', async () => {
    const world = new World({ capacity: 2 });
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber);
    const batch = ['1', '2', '3', '4'].map((body) => message(body));
    expect(await app.publish(batch)).toMatchObject([
      { index: 2, ...FULL },
      { index: 3, ...FULL },
    ]);
    await subscriber.received(2);
    void subscriber.at(0).settle(ACCEPT);
    expect(await app.publish([message('5'), message('6')])).toMatchObject([{ index: 1, ...FULL }]);
  });

  it('counts deferred messages, and released ones once', async () => {
    const world = new World({ capacity: 1 });
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber);
    await app.publish([message('1')]);
    await subscriber.received(1);
    void subscriber.at(0).settle({ kind: 'release' });
    await subscriber.received(2);
    void subscriber.at(1).settle({ kind: 'defer', notBefore: world.clock.now() + 1, attempt: 2 });
    expect(await app.publish([message('2')])).toMatchObject([FULL]);
    await world.clock.advance(1);
    void subscriber.at(2).settle(ACCEPT);
    expect(await app.publish([message('2')])).toEqual([]);
  });

  it('is bounded in bytes too', async () => {
    const world = new World({ capacityBytes: 10, largestMessage: 10 });
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber);
    expect(await app.publish([message('12345678'), message('123'), message('12')])).toMatchObject([
      { index: 1, ...FULL },
    ]);
    await subscriber.received(2);
    void subscriber.at(0).settle(ACCEPT);
    expect(await app.publish([message('12345678'), message('1')])).toMatchObject([{ index: 1, ...FULL }]);
  });

  it('gives a message to all queues of a channel or to none', async () => {
    const world = new World({ capacity: 1 });
    const app = await world.application();
    const quick = new FakeSubscriber();
    await subscribe(app, quick);
    await subscribe(app, FakeSubscriber.holding(), { name: 'Slow' });
    await app.publish([message('1')]);
    await world.rest();
    expect(await app.publish([message('2')])).toMatchObject([FULL]);
    await world.rest();
    expect(quick.texts).toEqual(['1']);
  });

  it('refuses a body over largestMessage alone', async () => {
    const world = new World({ largestMessage: 3 });
    const app = await world.application();
    const subscriber = new FakeSubscriber();
    await subscribe(app, subscriber);
    expect(app.abilities.largestMessage).toBe(3);
    expect(await app.publish([message('1234'), message('123')])).toMatchObject([
      { index: 0, indeterminate: false, error: { code: 'EVT_BODY_TOO_LARGE', message: /4 bytes.*takes 3/ } },
    ]);
    await world.broker.idle();
    expect(subscriber.texts).toEqual(['123']);
  });
});
