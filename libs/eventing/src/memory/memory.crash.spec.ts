import { describe, expect, it } from 'vitest';
import { ACCEPT, FakeSubscriber, message, subscribe, World } from './memory.fixture.js';

describe('faults: crash', () => {
  it('gives what an instance had to others, in order, the oldest one attempt further, and leaves it dead', async () => {
    const world = new World();
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const statuses: string[] = [];
    const app = await world.application('a', { onStatus: (status) => void statuses.push(status) });
    await subscribe(app, a, { window: 3 });
    await app.publish(['1', '2', '3', '4'].map((body) => message(body)));
    await a.received(3);
    void a.at(1).settle(ACCEPT);
    world.broker.faults.crash('a');
    void a.at(0).settle(ACCEPT);
    await subscribe(await world.application('b'), b);
    await world.rest();
    expect(b.texts).toEqual(['1', '3', '4']);
    expect(b.attempts).toEqual([2, 1, 1]);
    expect(a.deliveries).toHaveLength(3);
    expect(a.revocations).toEqual([]);
    await expect(app.publish([message('5')])).rejects.toMatchObject({ code: 'EVT_CONNECTION' });
    await app.stop();
    world.broker.faults.disconnect();
    expect(statuses).toEqual(['connected']);
  });

  it('counts each crash, and adds to the attempt that a defer gave', async () => {
    const world = new World();
    const app = await world.application('a0');
    let subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber);
    await app.publish([message('1')]);
    await subscriber.received(1);
    void subscriber.at(0).settle({ kind: 'defer', notBefore: 0, attempt: 3 });
    await world.rest();
    for (const [round, attempt] of [3, 4, 5].entries()) {
      expect(subscriber.at(-1).attempt).toBe(attempt);
      world.broker.faults.crash(`a${round}`);
      subscriber = FakeSubscriber.holding();
      await subscribe(await world.application(`a${round + 1}`), subscriber);
      await world.rest();
    }
    expect(subscriber.at(-1).attempt).toBe(6);
  });

  it('does not count an attempt for what was released and not yet delivered again', async () => {
    const world = new World();
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const app = await world.application('a');
    const handle = await subscribe(app, a);
    await app.publish([message('1')]);
    await a.received(1);
    handle.pause();
    void a.at(0).settle({ kind: 'release' });
    world.broker.faults.crash('a');
    await subscribe(await world.application('b'), b);
    await world.rest();
    expect(b.attempts).toEqual([1]);
  });

  it('takes the perProcess queues of the instance away, and drops what it had not published', async () => {
    const world = new World();
    const app = await world.application('a');
    const other = new FakeSubscriber();
    await subscribe(app, new FakeSubscriber(), { perProcess: true });
    await subscribe(await world.application('b'), other, { name: 'Other' });
    world.broker.faults.disconnect();
    const published = app.publish([message('1')]);
    world.broker.faults.crash('a');
    world.broker.faults.connect();
    expect(await published).toMatchObject([{ error: { code: 'EVT_CONNECTION' } }]);
    await world.rest();
    expect(other.texts).toEqual([]);
    expect(world.broker.queues()).toMatchObject([{ subscription: 'Other' }]);
  });

  it('hands over to the rest at once, also what was being revoked', async () => {
    const world = new World({ partitions: 2 });
    const [a, b] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const app = await world.application('a');
    await subscribe(app, a);
    await app.publish(['1', '2'].map((body) => message(body, { key: undefined })));
    await a.received(2);
    a.onRevoked = () => new Promise(() => undefined);
    await subscribe(await world.application('b'), b);
    world.broker.faults.crash('a');
    await world.rest();
    expect(new Set(b.texts)).toEqual(new Set(['1', '2']));
    expect(b.attempts).toEqual([2, 2]);
    await world.clock.advance(10_000);
    // The overtaken revocation takes nothing back.
    expect(b.deliveries).toHaveLength(2);
  });

  it('names the instances there are when it is asked for another', async () => {
    const world = new World();
    await world.application('a');
    expect(() => world.broker.faults.crash('z')).toThrow(/no instance "z" is connected; there are "a"/);
  });
});
