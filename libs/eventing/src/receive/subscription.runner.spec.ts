import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { Gate, RecordingLogger, seeded, turn, VirtualClock } from '../kernel.fixture.js';
import { ScriptedDelivery, ScriptedProvider } from '../scripted.provider.fixture.js';
import type { Abilities } from '../provider/abilities.js';
import type { Delivery } from '../provider/event-provider.js';
import { resolveOptions } from '../runtime/eventing.options.js';
import { EventingRuntime } from '../runtime/eventing.runtime.js';
import { RetryPolicy } from './retry.policy.js';

@Event({ name: 'orders', key: 'id' })
class Order {
  number?: number;
}

// Every delay is exact: jitter has a spec of its own.
beforeEach(() => {
  const { delayAfter } = RetryPolicy.prototype;
  vi.spyOn(RetryPolicy.prototype, 'delayAfter').mockImplementation(function (this: RetryPolicy, attempt) {
    return delayAfter.call(this, attempt, () => 0);
  });
});
afterEach(() => void vi.restoreAllMocks());

type On = (order: Order, envelope: Envelope) => unknown;

/** One subscription, without Nest, on a provider that does what it is told. */
class World {
  readonly clock = new VirtualClock(0);
  readonly logger = new RecordingLogger();
  readonly provider: ScriptedProvider;
  readonly runtime: EventingRuntime;
  readonly calls: (number | undefined)[] = [];
  on: On = () => undefined;

  private constructor(abilities: Partial<Abilities>, options: ListenerOptions) {
    this.provider = new ScriptedProvider(abilities);
    const { clock, logger } = this;
    const given = {
      service: 'shop',
      clock,
      logger,
      provider: this.provider.factory,
      drain: 20_000,
      rebalanceDrain: 5000,
    };
    this.runtime = new EventingRuntime(resolveOptions(given, logger), (registry) => ({
      pipelines: [],
      problems: [],
      listeners: [
        {
          label: 'Handler',
          events: [registry.describe(Order)],
          options,
          invoke: (event, envelope) => {
            const order: Order = event;
            this.calls.push(order.number);
            return this.on(order, envelope);
          },
        },
      ],
    }));
  }

  static async start(
    on: On = () => undefined,
    options: ListenerOptions = {},
    abilities: Partial<Abilities> = {},
  ): Promise<World> {
    const world = new World(abilities, options);
    world.on = on;
    await world.runtime.start();
    return world;
  }

  deliver(number: number, parts: Partial<Delivery> = {}): ScriptedDelivery {
    return this.provider.deliver({ key: 'k', body: Buffer.from(`{"number":${number}}`), ...parts });
  }

  /** The loss of a source, and whether the kernel has let go of it. */
  revoke(...sources: string[]): { done: boolean; readonly promise: Promise<void> } {
    const state = { done: false, promise: Promise.resolve() };
    state.promise = this.provider.subscriber.revoked(sources).then(() => void (state.done = true));
    return state;
  }

  stop(): { done: boolean; readonly promise: Promise<void> } {
    const state = { done: false, promise: Promise.resolve() };
    state.promise = this.runtime.stop().then(() => void (state.done = true));
    return state;
  }
}

const fail = (): never => {
  throw new Error('no');
};

describe('settling', () => {
  it('is one accept for an event that was handled, at once where the listener is synchronous', async () => {
    const world = await World.start();
    const delivery = world.deliver(1);
    expect(delivery.settlements).toEqual([{ kind: 'accept' }]);
  });

  it("waits for the listener's promise", async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    const delivery = world.deliver(1);
    await turn();
    expect(delivery.kinds).toEqual([]);
    gate.open();
    await turn();
    expect(delivery.kinds).toEqual(['accept']);
  });

  it('survives a provider whose accept rejects: it says so, and the event comes back', async () => {
    const world = await World.start();
    const unhandled: unknown[] = [];
    const note = (reason: unknown): void => void unhandled.push(reason);
    const before = process.listeners('unhandledRejection');
    process.removeAllListeners('unhandledRejection');
    process.on('unhandledRejection', note);
    try {
      world.provider.subscriber.deliver(failing(() => Promise.reject(new Error('connection lost'))));
      await turn();
      await turn();
      expect(unhandled).toEqual([]);
    } finally {
      process.removeListener('unhandledRejection', note);
      for (const listener of before) process.on('unhandledRejection', listener);
    }
  });

  it('survives a provider whose accept throws: the other events go on', async () => {
    const world = await World.start();
    const throwing = failing(() => {
      throw new Error('connection lost');
    });
    expect(() => world.provider.subscriber.deliver(throwing)).not.toThrow();
    expect(world.deliver(2, { key: 'other' }).kinds).toEqual(['accept']);
  });

  it.each(['rejects', 'throws'])(
    'is tried again each second while a move %s, and holds its lane, not its place',
    async (how) => {
      const world = await World.start((order) => (order.number === 1 ? fail() : undefined), {
        retry: { attempts: 1 },
        concurrency: 1,
      });
      const dead = world.deliver(1, { body: Buffer.from('{') });
      let tries = 0;
      const broken = new ScriptedDelivery('orders', { key: 'k', body: Buffer.from('{') }, 9);
      broken.onSettle = () => {
        if (++tries > 3) return undefined;
        if (how === 'throws') throw new Error('store away');
        return Promise.reject(new Error('store away'));
      };
      await turn();
      expect(dead.kinds).toEqual(['reject']);
      world.provider.subscriber.deliver(broken);
      const behind = world.deliver(2);
      const other = world.deliver(3, { key: 'other' });
      await world.clock.advance(2999);
      expect([tries, behind.kinds, other.kinds]).toEqual([3, [], ['accept']]);
      await world.clock.advance(1);
      expect([tries, behind.kinds]).toEqual([4, ['accept']]);
      expect(world.logger.having('error It could not be settled (reject)')).toHaveLength(3);
    },
  );

  it('refuses what cannot be read without calling anybody, in its turn within the key', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    world.deliver(1);
    const broken = world.deliver(2, { body: Buffer.from('{') });
    const behind = world.deliver(3);
    await turn();
    expect(broken.kinds).toEqual([]);
    gate.open();
    await world.clock.advance(0);
    expect([broken.kinds, behind.kinds, world.calls]).toEqual([['reject'], ['accept'], [1, 3]]);
  });

  it('accepts what nobody asked for, and counts it', async () => {
    const world = await World.start(undefined, { unknown: 'skip' });
    expect(world.deliver(1, { headers: { ...world.deliver(0).headers, ce_type: 'other' } }).kinds).toEqual(['accept']);
    expect(world.calls).toEqual([0]);
  });

  it('keeps an event that is not due yet with the provider where that can keep it, else with its lane', async () => {
    const due = {
      ce_specversion: '1.0',
      ce_id: '1',
      ce_source: '/s',
      ce_type: 'orders',
      ce_notbefore: new Date(60_000).toISOString(),
    };
    const able = await World.start();
    expect(able.deliver(1, { key: undefined, headers: due }).settlements).toEqual([
      { kind: 'defer', notBefore: 60_000, attempt: 1 },
    ]);
    const unable = await World.start(undefined, {}, { longestDefer: 0 });
    const held = unable.deliver(1, { key: undefined, headers: due });
    await unable.clock.advance(59_999);
    expect(held.kinds).toEqual([]);
    await unable.clock.advance(1);
    expect(held.kinds).toEqual(['accept']);
  });

  it('does not give an event back again that the provider gave back too soon: it holds it', async () => {
    const world = await World.start();
    const early = world.deliver(1, { key: undefined, notBefore: 5000, attempt: 2 });
    await world.clock.advance(4999);
    const earlier = world.deliver(2, { key: undefined, notBefore: 5000, attempt: 2 });
    expect([early.kinds, earlier.kinds]).toEqual([[], []]);
    await world.clock.advance(1);
    expect([early.kinds, earlier.kinds]).toEqual([['accept'], ['accept']]);
  });
});

describe('asynchronous rules', () => {
  it('do not let a source be lost under their hands: what was revoked meanwhile is not handled', async () => {
    const gate = new Gate();
    @Event({
      name: 'orders',
      key: 'id',
      schema: { '~standard': { version: 1, vendor: 'own', validate: (value) => gate.promise.then(() => ({ value })) } },
    })
    class Slow {}
    const provider = new ScriptedProvider();
    const logger = new RecordingLogger();
    const clock = new VirtualClock(0);
    let called = false;
    const runtime = new EventingRuntime(
      resolveOptions({ provider: provider.factory, logger, clock }, logger),
      (registry) => ({
        pipelines: [],
        problems: [],
        listeners: [{ label: 'A', events: [registry.describe(Slow)], options: {}, invoke: () => void (called = true) }],
      }),
    );
    await runtime.start();
    const delivery = provider.deliver({ key: 'k' });
    const revoking = provider.subscriber.revoked(['orders/0']);
    await clock.advance(5000);
    await revoking;
    gate.open();
    await turn();
    expect([called, delivery.kinds]).toEqual([false, []]);
  });
});

describe('a source that moves to another process', () => {
  it('is let go at once where nothing executes: what waits is dropped, unsettled', async () => {
    const world = await World.start(fail, { retry: { delay: 60_000, maxDelay: 60_000 } });
    const held = world.deliver(1);
    await turn();
    const revocation = world.revoke('orders/0');
    await turn();
    expect([revocation.done, held.kinds]).toEqual([true, []]);
    await world.clock.advance(120_000);
    expect([world.calls, held.kinds]).toEqual([[1], []]);
  });

  it('runs none of a key whose first event it has dropped', async () => {
    const world = await World.start((order) => (order.number === 1 ? fail() : undefined), {
      retry: { delay: 60_000, maxDelay: 60_000 },
    });
    const [held, behind] = [world.deliver(1), world.deliver(2)];
    await turn();
    const revocation = world.revoke('orders/0');
    await turn();
    expect(revocation.done).toBe(true);
    expect([world.calls, held.kinds, behind.kinds]).toEqual([[1], [], []]);
  });

  it('is let go when the listener that executes has returned; its settlement still counts', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    const [running, queued] = [world.deliver(1), world.deliver(2)];
    const revocation = world.revoke('orders/0');
    await world.clock.advance(4000);
    expect(revocation.done).toBe(false);
    gate.open();
    await revocation.promise;
    expect([running.kinds, queued.kinds, world.calls]).toEqual([['accept'], [], [1]]);
  });

  it('is let go at rebalanceDrain; the listener is told, and settles nothing any more', async () => {
    const gate = new Gate();
    let signal: AbortSignal | undefined;
    const world = await World.start((_order, envelope) => {
      ({ signal } = envelope);
      return gate.promise;
    });
    const delivery = world.deliver(1);
    const revocation = world.revoke('orders/0');
    await world.clock.advance(4999);
    expect([revocation.done, signal?.aborted]).toEqual([false, false]);
    await world.clock.advance(1);
    await revocation.promise;
    expect(signal?.reason).toMatchObject({ code: 'EVT_NOT_RUNNING' });
    gate.open();
    await turn();
    expect(delivery.kinds).toEqual([]);
  });

  it('keeps the lane of a listener that does not stop: should the key come back, it does not run twice', async () => {
    const gate = new Gate();
    const world = await World.start((order) => (order.number === 1 ? gate.promise : undefined));
    world.deliver(1);
    const revocation = world.revoke('orders/0');
    await world.clock.advance(5000);
    await revocation.promise;
    const again = world.deliver(2);
    await turn();
    expect(world.calls).toEqual([1]);
    gate.open();
    await turn();
    expect([world.calls, again.kinds]).toEqual([[1, 2], ['accept']]);
  });

  it('is let go at once when the listener that executes fails: it is not tried again here', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise, { retry: { delay: 10_000, maxDelay: 10_000 } });
    const delivery = world.deliver(1);
    const revocation = world.revoke('orders/0');
    gate.fail(new Error('no'));
    await turn();
    await turn();
    expect(revocation.done).toBe(true);
    await world.clock.advance(60_000);
    expect([world.calls, delivery.kinds]).toEqual([[1], []]);
  });

  it('never runs a listener again that failed while it was revoked', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise, { retry: { delay: 10_000, maxDelay: 10_000 } });
    world.deliver(1);
    const revocation = world.revoke('orders/0');
    gate.fail(new Error('no'));
    await world.clock.advance(60_000);
    await revocation.promise;
    expect(world.calls).toEqual([1]);
  });

  it('keeps that lane however often the source comes and goes', async () => {
    const gate = new Gate();
    const world = await World.start((order) => (order.number === 1 ? gate.promise : undefined));
    world.deliver(1);
    for (const number of [2, 3]) {
      const revocation = world.revoke('orders/0');
      await world.clock.advance(5000);
      await revocation.promise;
      world.deliver(number);
    }
    await turn();
    expect(world.calls).toEqual([1]);
    gate.open();
    await turn();
    expect(world.calls).toEqual([1, 3]);
  });

  it('takes nothing else with it', async () => {
    const gate = new Gate();
    const world = await World.start((order) => (order.number === 1 ? gate.promise : undefined), { concurrency: 1 });
    const [running, lost, kept] = [
      world.deliver(1, { key: 'a', source: 'orders/1' }),
      world.deliver(2, { key: 'b', source: 'orders/0' }),
      world.deliver(3, { key: 'c', source: 'orders/1' }),
    ];
    const revocation = world.revoke('orders/0');
    await turn();
    expect(revocation.done).toBe(true);
    gate.open();
    await turn();
    expect([running.kinds, lost.kinds, kept.kinds]).toEqual([['accept'], [], ['accept']]);
  });

  it('waits for a letter that is on its way', async () => {
    const gate = new Gate();
    const world = await World.start(undefined);
    const dead = new ScriptedDelivery('orders', { key: 'k', body: Buffer.from('{') }, 9);
    dead.onSettle = () => gate.promise;
    world.provider.subscriber.deliver(dead);
    await turn();
    const revocation = world.revoke('orders/0');
    await turn();
    expect(revocation.done).toBe(false);
    gate.open();
    await revocation.promise;
    expect(dead.kinds).toEqual(['reject']);
  });

  it('gives up a letter that could not be written yet: the message comes back elsewhere', async () => {
    const world = await World.start(undefined);
    const dead = new ScriptedDelivery('orders', { key: 'k', body: Buffer.from('{') }, 9);
    dead.onSettle = () => Promise.reject(new Error('store away'));
    world.provider.subscriber.deliver(dead);
    await world.clock.advance(1000);
    const tries = dead.kinds.length;
    const revocation = world.revoke('orders/0');
    await turn();
    expect(revocation.done).toBe(true);
    await world.clock.advance(10_000);
    expect(dead.kinds).toHaveLength(tries);
  });

  it('loses no letter of an at-most-once listener that fails after it', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise, { guarantee: 'at-most-once' });
    world.deliver(1);
    const revocation = world.revoke('orders/0');
    await world.clock.advance(5000);
    await revocation.promise;
    gate.fail(new Error('no'));
    await world.clock.advance(0);
    expect(world.provider.letters).toMatchObject([{ reason: 'failed', error: { message: 'no' } }]);
  });
});

describe('draining', () => {
  it('pauses, lets listeners finish, leaves and closes, in this order', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    const delivery = world.deliver(1);
    delivery.onSettle = ({ kind }) => void world.provider.journal.push(kind);
    const stopping = world.stop();
    await world.clock.advance(1000);
    expect(stopping.done).toBe(false);
    gate.open();
    await stopping.promise;
    expect(world.provider.journal).toEqual([
      'start orders',
      'subscribe Handler',
      'pause Handler',
      'accept',
      'leave Handler',
      'stop',
    ]);
  });

  it('hands back at once what waits, and runs none of it', async () => {
    const gate = new Gate();
    const world = await World.start((order) => (order.number === 1 ? gate.promise : fail()), {
      concurrency: 2,
      retry: { delay: 60_000, maxDelay: 60_000 },
    });
    const running = world.deliver(1, { key: 'a' });
    const backOff = world.deliver(2, { key: 'b' });
    const queued = world.deliver(3, { key: 'a' });
    await turn();
    const stopping = world.stop();
    await turn();
    expect([running.kinds, backOff.kinds, queued.kinds]).toEqual([[], ['release'], ['release']]);
    gate.open();
    await stopping.promise;
    expect([running.kinds, world.calls]).toEqual([['accept'], [1, 2]]);
    expect(world.clock.pending).toBe(0);
  });

  it('runs none of a key whose first event it has handed back', async () => {
    const world = await World.start((order) => (order.number === 1 ? fail() : undefined), {
      retry: { delay: 60_000, maxDelay: 60_000 },
    });
    const [held, behind] = [world.deliver(1), world.deliver(2)];
    await turn();
    await world.stop().promise;
    expect([world.calls, held.kinds, behind.kinds]).toEqual([[1], ['release'], ['release']]);
  });

  it('hands back an event that fails meanwhile, and those behind it', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    const [running, behind] = [world.deliver(1), world.deliver(2)];
    const stopping = world.stop();
    gate.fail(new Error('no'));
    await stopping.promise;
    expect([running.kinds, behind.kinds, world.calls]).toEqual([['release'], ['release'], [1]]);
  });

  it('writes the letter of an event that fails for good meanwhile', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise, { retry: { attempts: 1 } });
    const running = world.deliver(1);
    const stopping = world.stop();
    gate.fail(new Error('no'));
    await stopping.promise;
    expect(running.letter).toMatchObject({ reason: 'failed', attempts: 1 });
  });

  it('hands back what is still delivered', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    world.deliver(1, { key: 'a' });
    const stopping = world.stop();
    const late = world.deliver(2, { key: 'b' });
    await turn();
    expect([late.kinds, world.calls]).toEqual([['release'], [1]]);
    gate.open();
    await stopping.promise;
  });

  it('survives a provider that cannot take anything back', async () => {
    const world = await World.start(fail, { retry: { delay: 60_000, maxDelay: 60_000 } });
    const held = world.deliver(1);
    held.onSettle = () => Promise.reject(new Error('connection lost'));
    await turn();
    await world.stop().promise;
    expect(world.logger.having('warn It could not be released')).toHaveLength(1);
  });

  it('gives up a letter that cannot be written: the message comes back, nothing is lost', async () => {
    const world = await World.start(undefined);
    const dead = new ScriptedDelivery('orders', { key: 'k', body: Buffer.from('{') }, 9);
    dead.onSettle = ({ kind }) => (kind === 'reject' ? Promise.reject(new Error('store away')) : undefined);
    world.provider.subscriber.deliver(dead);
    await world.clock.advance(2500);
    const stopping = world.stop();
    await turn();
    await turn();
    expect(stopping.done).toBe(true);
    expect(dead.kinds.at(-1)).toBe('release');
  });

  it('ends when drain is over, whatever a listener does, and settles nothing afterwards', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    const delivery = world.deliver(1);
    const stopping = world.stop();
    await world.clock.advance(19_999);
    expect(stopping.done).toBe(false);
    await world.clock.advance(1);
    await stopping.promise;
    gate.open();
    await turn();
    expect(delivery.kinds).toEqual([]);
  });

  it('waits for a listener too whose source is gone already: it still uses what will be closed', async () => {
    const gate = new Gate();
    const world = await World.start(() => gate.promise);
    const lost = world.deliver(1);
    const revocation = world.revoke('orders/0');
    await world.clock.advance(5000);
    await revocation.promise;
    const stopping = world.stop();
    await world.clock.advance(1000);
    expect(stopping.done).toBe(false);
    gate.open();
    await stopping.promise;
    expect(lost.kinds).toEqual([]);
  });

  it('ends a start that was under way: a subscription that comes late is left again, drained', async () => {
    const gate = new Gate();
    const provider = new ScriptedProvider();
    provider.onSubscribe = () => gate.promise;
    const logger = new RecordingLogger();
    const clock = new VirtualClock(0);
    const listening = new Gate();
    const runtime = new EventingRuntime(
      resolveOptions({ provider: provider.factory, logger, clock, start: 'background' }, logger),
      (registry) => ({
        pipelines: [],
        problems: [],
        listeners: [{ label: 'A', events: [registry.describe(Order)], options: {}, invoke: () => listening.promise }],
      }),
    );
    await runtime.start();
    await turn();
    let stopped = false;
    const stopping = runtime.stop().then(() => (stopped = true));
    await turn();
    gate.open();
    // What is delivered the moment it has subscribed.
    await Promise.resolve();
    await turn();
    expect(stopped).toBe(true);
    await stopping;
    expect(provider.journal).toEqual(['start orders', 'subscribe A', 'stop', 'pause A', 'leave A']);
  });
});

describe('whatever happens', () => {
  it.each(Array.from({ length: 30 }, (_, index) => index + 1))(
    'no key overlaps, each is handled in order, and every delivery is settled once (seed %i)',
    async (seed) => {
      const random = seeded(seed);
      const pick = (below: number): number => Math.floor(random() * below);
      const running = new Set<string>();
      const handled = new Map<string, number[]>();
      let most = 0;
      const world = await World.start(
        async ({ number = -1 }, { key = '' }) => {
          expect(running.has(key)).toBe(false);
          running.add(key);
          most = Math.max(most, running.size);
          for (let turns = pick(3); turns > 0; turns--) await turn();
          running.delete(key);
          if (random() < 0.3) throw new Error('by chance');
          handled.set(key, [...(handled.get(key) ?? []), number]);
        },
        { concurrency: 4, retry: { attempts: 100, delay: 5, maxDelay: 20 } },
      );
      const deliveries: ScriptedDelivery[] = [];
      for (let number = 0; number < 120; number++) {
        const flaky = random() < 0.05;
        const delivery = world.deliver(number, { key: `key${pick(7)}`, ...(flaky ? { body: Buffer.from('{') } : {}) });
        deliveries.push(delivery);
        if (random() < 0.3) await world.clock.advance(pick(10));
      }
      await world.clock.advance(60_000);
      expect(deliveries.map(({ kinds }) => kinds.length)).toEqual(deliveries.map(() => 1));
      expect(most).toBeLessThanOrEqual(4);
      expect(most).toBeGreaterThan(1);
      for (const numbers of handled.values()) expect(numbers).toEqual([...numbers].sort((a, b) => a - b));
      const accepted = deliveries.filter(({ kinds }) => kinds[0] === 'accept');
      expect([...handled.values()].flat()).toHaveLength(accepted.length);
      await world.stop().promise;
      expect(world.clock.pending).toBe(0);
    },
  );
});

/** A delivery whose settling fails. */
function failing(onSettle: () => Promise<void>): ScriptedDelivery {
  const delivery = new ScriptedDelivery('orders', { key: 'k', body: Buffer.from('{"number":1}') }, 77);
  delivery.onSettle = onSettle;
  return delivery;
}
