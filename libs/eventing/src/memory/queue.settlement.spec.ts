import { describe, expect, it } from 'vitest';
import type { EventProvider } from '../provider/event-provider.js';
import { ACCEPT, FakeSubscriber, letterFor, message, RELEASE, subscribe, World } from './memory.fixture.js';

/** One application and a subscriber that settles nothing by itself. */
async function holding(window = 256): Promise<{
  world: World;
  app: EventProvider;
  subscriber: FakeSubscriber;
  send: (...bodies: string[]) => Promise<void>;
}> {
  const world = new World();
  const app = await world.application();
  const subscriber = FakeSubscriber.holding();
  await subscribe(app, subscriber, { window });
  const send = async (...bodies: string[]): Promise<void> => {
    await app.publish(bodies.map((body) => message(body)));
    await world.rest();
  };
  return { world, app, subscriber, send };
}

describe('settlement', () => {
  it('has at most `window` messages of a source open, counted from the first that is not settled', async () => {
    const { world, subscriber, send } = await holding(3);
    await send('1', '2', '3', '4', '5', '6');
    expect(subscriber.texts).toEqual(['1', '2', '3']);
    void subscriber.at(1).settle(ACCEPT);
    void subscriber.at(2).settle(ACCEPT);
    await world.rest();
    // A stuck head holds the window.
    expect(subscriber.texts).toEqual(['1', '2', '3']);
    void subscriber.at(0).settle(ACCEPT);
    await world.rest();
    expect(subscriber.texts).toEqual(['1', '2', '3', '4', '5', '6']);
  });

  it('counts the window for each source alone', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    await subscribe(app, subscriber, { window: 1 });
    await app.publish(Array.from({ length: 48 }, (_, index) => message(String(index), { key: undefined })));
    await world.rest();
    expect(subscriber.deliveries).toHaveLength(16);
    expect(new Set(subscriber.deliveries.map(({ source }) => source)).size).toBe(16);
  });

  it('gives released messages back in stored order, before later ones, not inside the call, and without counting an attempt', async () => {
    const { world, subscriber, send } = await holding(3);
    await send('1', '2', '3', '4');
    for (const index of [2, 0, 1]) void subscriber.at(index).settle(RELEASE);
    expect(subscriber.texts).toEqual(['1', '2', '3']);
    await world.rest();
    expect(subscriber.texts).toEqual(['1', '2', '3', '1', '2', '3']);
    expect(subscriber.attempts).toEqual([1, 1, 1, 1, 1, 1]);
    for (const index of [3, 4, 5]) void subscriber.at(index).settle(ACCEPT);
    await world.rest();
    expect(subscriber.texts.at(-1)).toBe('4');
  });

  it('heeds the first settlement only', async () => {
    const { world, subscriber, send } = await holding();
    await send('1');
    void subscriber.at(0).settle(ACCEPT);
    await subscriber.at(0).settle(RELEASE);
    await subscriber.at(0).settle({ kind: 'defer', notBefore: 0, attempt: 2 });
    await world.clock.runAll();
    expect(subscriber.texts).toEqual(['1']);
    expect(world.broker.queues()).toMatchObject([{ waiting: 0, unsettled: 0, deferred: 0 }]);
  });

  it('defers: never early, with the attempt given, in nobody’s way', async () => {
    const { world, subscriber, send } = await holding(1);
    await send('1', '2');
    const notBefore = world.clock.now() + 1000;
    await subscriber.at(0).settle({ kind: 'defer', notBefore, attempt: 4 });
    await world.rest();
    // Others go on.
    expect(subscriber.texts).toEqual(['1', '2']);
    void subscriber.at(1).settle(ACCEPT);
    await world.clock.advance(999);
    expect(subscriber.texts).toEqual(['1', '2']);
    expect(world.broker.queues()).toMatchObject([{ deferred: 1 }]);
    await world.clock.advance(1);
    expect(subscriber.texts).toEqual(['1', '2', '1']);
    expect(subscriber.at(2)).toMatchObject({ attempt: 4, position: subscriber.at(0).position });
  });

  it('brings a message deferred to the past back behind those that wait', async () => {
    const { subscriber, send } = await holding(1);
    await send('1', '2', '3');
    void subscriber.at(0).settle({ kind: 'defer', notBefore: 0, attempt: 2 });
    for (const index of [1, 2, 3]) {
      await subscriber.received(index + 1);
      void subscriber.at(index).settle(ACCEPT);
    }
    expect(subscriber.texts).toEqual(['1', '2', '3', '1']);
  });

  it('is not fooled by a wait longer than a timer can hold, or a clock set back', async () => {
    const { world, subscriber, send } = await holding();
    await send('1');
    const clock = world.clock;
    const setTimeout = clock.setTimeout.bind(clock);
    clock.setTimeout = (fn, ms) => setTimeout(fn, Math.min(ms, 100));
    void subscriber.at(0).settle({ kind: 'defer', notBefore: clock.now() + 1000, attempt: 2 });
    await clock.advance(999);
    expect(subscriber.texts).toEqual(['1']);
    await clock.advance(1);
    expect(subscriber.texts).toEqual(['1', '1']);
  });

  it('keeps deferred messages of a durable subscription while nobody is there', async () => {
    const world = new World();
    const app = await world.application();
    const [first, second] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const handle = await subscribe(app, first);
    await app.publish([message('1')]);
    await first.received(1);
    void first.at(0).settle({ kind: 'defer', notBefore: world.clock.now() + 50, attempt: 2 });
    await handle.stop();
    await subscribe(app, second);
    await world.clock.advance(50);
    expect(second.attempts).toEqual([2]);
  });

  it('drops the deferred messages of a queue that vanishes, timers and all', async () => {
    const world = new World();
    const app = await world.application();
    const subscriber = FakeSubscriber.holding();
    const handle = await subscribe(app, subscriber, { durable: false });
    await app.publish([message('1')]);
    await subscriber.received(1);
    void subscriber.at(0).settle({ kind: 'defer', notBefore: world.clock.now() + 50, attempt: 2 });
    await handle.stop();
    expect(world.clock.pending).toBe(0);
  });

  it('stores the letter of a rejected message with its original bytes, then forgets the message', async () => {
    const { world, app, subscriber, send } = await holding();
    await send('1');
    await subscriber.at(0).settle({ kind: 'reject', letter: letterFor(subscriber.at(0), 'L1') });
    const { letters } = await app.deadLetters.scan({ limit: 10 });
    expect(letters).toMatchObject([{ id: 'L1', message: { key: 'k' } }]);
    expect(letters[0]?.message.body).toEqual(message('1').body);
    expect(world.broker.queues()).toMatchObject([{ waiting: 0, unsettled: 0 }]);
  });

  it('leaves a message as unsettled as before where the store does not take its letter', async () => {
    const { world, app, subscriber, send } = await holding();
    world.broker.faults.failDeadLetters(1);
    await send('1');
    const delivery = subscriber.at(0);
    const letter = letterFor(delivery, 'L1');
    await expect(delivery.settle({ kind: 'reject', letter })).rejects.toMatchObject({ code: 'EVT_DEAD_LETTER_FAILED' });
    expect(world.broker.queues()).toMatchObject([{ unsettled: 1 }]);
    await delivery.settle({ kind: 'reject', letter });
    expect((await app.deadLetters.scan({ limit: 10 })).letters).toHaveLength(1);
    expect(world.broker.queues()).toMatchObject([{ unsettled: 0 }]);
  });

  it('hands unsettled messages back in order when a member stops, and then ignores its settlements', async () => {
    const world = new World();
    const app = await world.application();
    const [first, second] = [FakeSubscriber.holding(), FakeSubscriber.holding()];
    const handle = await subscribe(app, first);
    await app.publish(['1', '2', '3'].map((body) => message(body)));
    await first.received(3);
    void first.at(1).settle(ACCEPT);
    await handle.stop();
    for (const index of [0, 2]) void first.at(index).settle(ACCEPT);
    const letter = letterFor(first.at(0), 'L');
    await first.at(0).settle({ kind: 'reject', letter });
    await app.publish([message('4')]);
    await subscribe(app, second);
    await world.rest();
    expect(second.texts).toEqual(['1', '3', '4']);
    expect(second.attempts).toEqual([1, 1, 1]);
    expect((await app.deadLetters.scan({ limit: 1 })).letters).toEqual([]);
  });

  it('goes on after a subscriber that throws, and says so', async () => {
    const world = new World();
    const said: string[] = [];
    const logger = { log() {}, warn() {}, debug() {}, error: (text: string) => void said.push(text) };
    const app = await world.application('a', { logger });
    const seen: string[] = [];
    const subscriber = new FakeSubscriber((delivery) => {
      seen.push(delivery.position);
      throw new Error('broken');
    });
    await subscribe(app, subscriber);
    await app.publish([message('1'), message('2')]);
    await world.rest();
    expect(seen).toHaveLength(2);
    expect(said).toHaveLength(2);
    expect(said[0]).toMatch(/deliver\(\) threw; \d+@0 stays unsettled.*broken/);
  });
});
