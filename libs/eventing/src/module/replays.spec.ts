import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { EventListener, type ListenerOptions } from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { EnvelopePipeline, type Next } from '../declare/envelope-pipeline.decorator.js';
import { refusal, Gate } from '../kernel.fixture.js';
import { memory } from '../memory/memory.provider.js';
import type { SubscriptionHandle } from '../provider/event-provider.js';
import { EventingHealth } from '../runtime/eventing.health.js';
import { EventListeners } from '../runtime/event-listeners.js';
import { EventReplays } from '../runtime/event-replays.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  number!: number;
}
@Event({ name: 'orders.cancelled', channel: 'cancelled', key: 'id' })
class OrderCancelled {
  id!: string;
  number!: number;
}

type Handle = (order: OrderPlaced, envelope: Envelope) => unknown;

/** A listener that is live, what it was called with, and how it behaves. */
async function shop(options: ListenerOptions = {}, given: AppOptions = {}) {
  const live: number[] = [];
  const past: [number: number, attempt: number][] = [];
  const state: { handle: Handle } = { handle: () => undefined };
  const seen: string[] = [];
  @EnvelopePipeline()
  class Seeing implements EnvelopePipeline {
    handle(envelope: Envelope, _: unknown, next: Next): Promise<void> {
      seen.push(`${envelope.id.slice(0, 4)} ${envelope.isReplay}`);
      return next();
    }
  }
  @EventListener([OrderPlaced, OrderCancelled], { name: 'Orders', retry: { attempts: 2, delay: 10 }, ...options })
  class Orders implements EventListener<OrderPlaced> {
    on(order: OrderPlaced, envelope: Envelope<OrderPlaced>): unknown {
      if (envelope.isReplay) past.push([order.number, envelope.attempt]);
      else live.push(order.number);
      return state.handle(order, envelope);
    }
  }
  const app = await TestApp.start({ providers: [Orders, Seeing] }, given);
  const send = async (...numbers: number[]) => {
    for (const number of numbers) await app.events.sendEvent(OrderPlaced, { id: `k${number % 2}`, number });
    await app.clock.advance(10);
  };
  return { app, live, past, seen, state, send, replays: app.module.get(EventReplays) };
}

describe('a replay', () => {
  it('shows a listener what it has handled, in order by key, and says that it is the past', async () => {
    const { app, live, past, seen, send, replays } = await shop();
    await send(1, 2, 3, 4);
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await app.clock.advance(10);
    expect(await replay.ended).toEqual({ handled: 4, skipped: 0, deadLettered: 0, discarded: 0, complete: true });
    expect(live).toEqual([1, 2, 3, 4]);
    expect(past.filter(([number]) => number % 2 === 1)).toEqual([[1, 1], [3, 1]]); // prettier-ignore
    expect(past.filter(([number]) => number % 2 === 0)).toEqual([[2, 1], [4, 1]]); // prettier-ignore
    expect(seen.filter((line) => line.endsWith('true'))).toHaveLength(4);
    expect([replay.listener, replays.list()]).toEqual(['Orders', []]);
  });

  it('ends where the present began when it did, beside what is handled live', async () => {
    const { app, live, past, state, send, replays } = await shop();
    await send(1, 2);
    const gate = new Gate();
    state.handle = (_, { isReplay }) => (isReplay ? gate.promise : undefined);
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await send(3, 4);
    expect(live).toEqual([1, 2, 3, 4]);
    expect(replays.list()).toEqual([replay]);
    expect(replay.progress()).toMatchObject({ handled: 0 });
    gate.open();
    await app.clock.advance(10);
    expect(await replay.ended).toMatchObject({ handled: 2, complete: true });
    expect(past).toHaveLength(2);
  });

  it('leaves the position, the list of listeners, health and the broker as they were', async () => {
    const { app, live, send, replays } = await shop();
    await send(1);
    const gate = new Gate();
    const before = app.broker.queues().map(({ name }) => name);
    const replay = await replays.start({ listener: 'Orders', from: 'earliest', handler: () => gate.promise });
    expect(app.module.get(EventListeners).list()).toHaveLength(1);
    expect((await app.module.get(EventingHealth).report()).subscriptions).toHaveLength(1);
    gate.open();
    await app.clock.advance(10);
    await replay.ended;
    expect(app.broker.queues().map(({ name }) => name)).toEqual(before);
    await send(2);
    expect(live).toEqual([1, 2]);
  });

  it.each([
    [undefined, true],
    ['incomplete', false],
  ] as const)('that its provider ends with %s tells so: complete is %s', async (end, complete) => {
    class Ending extends ScriptedProvider {
      override async subscribe(...given: Parameters<ScriptedProvider['subscribe']>): Promise<SubscriptionHandle> {
        return { ...(await super.subscribe(...given)), ended: Promise.resolve(end) };
      }
    }
    const able = { replay: true, boundedReplay: true, order: 'cluster', groups: true, perProcess: true } as const;
    const { replays } = await shop({}, { provider: new Ending(able).factory });
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    expect(await replay.ended).toMatchObject({ complete });
  });

  it('begins at a time, or at positions', async () => {
    const { app, past, send, replays } = await shop();
    await send(1, 3);
    await app.clock.advance(1000);
    const time = app.clock.now();
    await send(5);
    await app.clock.advance(10);
    for (const from of [new Date(time), time]) await (await replays.start({ listener: 'Orders', from })).ended;
    expect(past.map(([number]) => number)).toEqual([5, 5]);
    past.length = 0;
    const partition = app.broker.queues().flatMap(({ owners }) => Object.keys(owners));
    const positions = Object.fromEntries(partition.map((source) => [source, '0']));
    await (
      await replays.start({ listener: 'Orders', from: { positions } })
    ).ended;
    expect(past.map(([number]) => number).sort()).toEqual([1, 3, 5]);
    const wrong = { positions: { 'orders/0': '99' } };
    expect(await refusal(replays.start({ listener: 'Orders', from: wrong }))).toMatchObject({ code: 'EVT_POSITION' });
  });

  it('may be of one channel', async () => {
    const { app, past, send, replays } = await shop();
    await send(1);
    await app.events.sendEvent(OrderCancelled, { id: 'k', number: 7 });
    await app.clock.advance(10);
    await (
      await replays.start({ listener: 'Orders', from: 'earliest', channel: 'cancelled' })
    ).ended;
    expect(past.map(([number]) => number)).toEqual([7]);
  });

  it('calls a handler of its own instead', async () => {
    const { past, send, replays } = await shop();
    await send(1, 2);
    const sum: number[] = [];
    const replay = await replays.start<OrderPlaced>({
      listener: 'Orders',
      from: 'earliest',
      handler: ({ number }, { isReplay }) => void sum.push(isReplay ? number : -1),
    });
    expect(await replay.ended).toMatchObject({ handled: 2 });
    expect([past, sum.sort()]).toEqual([[], [1, 2]]);
  });

  it('handles what has expired since', async () => {
    const { app, past, replays } = await shop();
    await app.events.sendEvent(OrderPlaced, { id: 'k', number: 1 }, { expiresIn: 100 });
    await app.clock.advance(1000);
    await (
      await replays.start({ listener: 'Orders', from: 'earliest' })
    ).ended;
    expect(past).toEqual([[1, 1]]);
    expect(await app.letters()).toEqual([]);
  });

  it('of nothing is over at once', async () => {
    const { replays } = await shop();
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    expect(await replay.ended).toMatchObject({ handled: 0, complete: true });
  });
});

describe('what fails in a replay', () => {
  it('is retried in its lane, and is a dead letter of the listener, to be redriven', async () => {
    const { app, live, past, state, send, replays } = await shop();
    await send(1, 2, 3);
    state.handle = ({ number }, { isReplay }) => {
      if (isReplay && number === 1) throw new Error('not this one');
    };
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await app.clock.advance(5);
    expect(past.map(([number]) => number)).not.toContain(3);
    await app.clock.advance(1000);
    expect(await replay.ended).toMatchObject({ handled: 2, deadLettered: 1, complete: true });
    expect(past.filter(([number]) => number === 1)).toEqual([[1, 1], [1, 2]]); // prettier-ignore
    const letter = await app.letter();
    expect(letter).toMatchObject({ listener: 'Orders', attempts: 2, error: { message: 'not this one' } });
    await app.deadLetters.redrive(letter);
    await app.clock.advance(10);
    expect(live).toEqual([1, 2, 3, 1]);
  });

  it('is one letter with that of the first time', async () => {
    const { app, state, send, replays } = await shop();
    state.handle = () => {
      throw new Error('never');
    };
    await send(1);
    await app.clock.advance(1000);
    const { id } = await app.letter();
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await app.clock.advance(1000);
    expect(await replay.ended).toMatchObject({ deadLettered: 1 });
    expect((await app.letter()).id).toBe(id);
  });

  it('in a handler of its own is a letter that the listener does not get', async () => {
    const { app, send, replays } = await shop();
    await send(1);
    const replay = await replays.start({
      listener: 'Orders',
      from: 'earliest',
      handler: () => {
        throw new Error('no');
      },
    });
    await app.clock.advance(1000);
    await replay.ended;
    const letter = await app.letter();
    expect(letter.listener).toBe(`Orders#replay-${replay.id}`);
    expect(await refusal(app.deadLetters.redrive(letter))).toMatchObject({ code: 'EVT_DEAD_LETTER_LISTENER' });
  });

  it("ends the replay under exhausted: 'stop', and not the listener", async () => {
    const { app, live, state, send, replays } = await shop({ retry: { attempts: 1, exhausted: 'stop' } });
    await send(1, 2, 3, 4);
    state.handle = ({ number }, { isReplay }) => {
      if (isReplay && number === 1) throw new Error('here');
    };
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await app.clock.advance(100);
    expect(await replay.ended).toMatchObject({
      complete: false,
      stopped: { listener: 'Orders', error: { message: 'here' } },
    });
    await send(5);
    expect(live.at(-1)).toBe(5);
    expect(await app.letters()).toEqual([]);
  });
});

describe('the end of a replay', () => {
  it('comes when it is stopped, which waits for what is being handled', async () => {
    const { app, past, state, send, replays } = await shop({ concurrency: 1 });
    await send(1, 2, 3, 4);
    const gate = new Gate();
    state.handle = (_, { isReplay }) => (isReplay ? gate.promise : undefined);
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await app.clock.advance(10);
    const stopping = replay.stop();
    gate.open();
    await app.clock.advance(10);
    expect(await stopping).toMatchObject({ handled: 1, complete: false });
    expect(past).toHaveLength(1);
    expect(await replay.stop()).toEqual(await replay.ended);
  });

  it('comes with the end of the application', async () => {
    const { app, state, send, replays } = await shop();
    await send(1);
    state.handle = () => new Promise(() => undefined);
    const replay = await replays.start({ listener: 'Orders', from: 'earliest' });
    await app.close();
    expect(await replay.ended).toMatchObject({ handled: 0, complete: false });
    expect(await refusal(replays.start({ listener: 'Orders', from: 'earliest' }))).toMatchObject({
      code: 'EVT_NOT_RUNNING',
    });
  });
});

it('a replay that begins while the application stops is refused, and nothing of it is left', async () => {
  const { app, past, send, replays } = await shop();
  await send(1);
  const starting = refusal(replays.start({ listener: 'Orders', from: 'earliest' }));
  await Promise.all([app.runtime.stop(), starting]);
  expect((await starting).code).toBe('EVT_NOT_RUNNING');
  expect([past, app.broker.queues().filter(({ name }) => name.includes('#'))]).toEqual([[], []]);
});

describe('a replay is refused', () => {
  it.each<[string, ListenerOptions, AppOptions, object, string, RegExp]>([
    ['of a listener that says so', { replay: false }, {}, {}, 'EVT_REPLAY_REFUSED', /it says replay: false/],
    ['of one that does not run here', {}, {}, { listener: 'X' }, 'EVT_UNKNOWN_LISTENER', /there are Orders/],
    ['from what is no position', {}, {}, { from: 'now' }, 'EVT_REPLAY_REFUSED', /from must be earliest, a Date/],
    ['from no date', {}, {}, { from: new Date('x') }, 'EVT_REPLAY_REFUSED', /from must be/],
    [
      'of a channel that is none of its',
      {},
      {},
      { channel: 'x' },
      'EVT_REPLAY_REFUSED',
      /nothing on the channel "x", but to orders, cancelled/,
    ],
    [
      'where nothing is kept',
      {},
      { provider: memory({ retain: 0 }) },
      {},
      'EVT_REPLAY_REFUSED',
      /memory keeps nothing of the past/,
    ],
    [
      'where no end is known',
      {},
      { provider: new ScriptedProvider().factory },
      {},
      'EVT_REPLAY_REFUSED',
      /scripted cannot tell where the past ends/,
    ],
  ])('%s', async (_what, options, given, asked, code, message) => {
    const { replays } = await shop(options, given);
    const start = replays.start({ listener: 'Orders', from: 'earliest', ...asked });
    expect(await refusal(start)).toMatchObject({ code, message: expect.stringMatching(message) });
    expect(replays.list()).toEqual([]);
  });
});
