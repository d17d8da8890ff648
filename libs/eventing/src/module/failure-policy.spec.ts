import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import { type BatchEventListener, EventListener, type ListenerOptions } from '../declare/event-listener.decorator.js';
import { RejectEvent } from '../errors/eventing.error.js';
import { refusal } from '../kernel.fixture.js';
import { BackoffPolicy } from '../receive/backoff.policy.js';
import { EventingHealth } from '../runtime/eventing.health.js';
import { EventListeners } from '../runtime/event-listeners.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  number!: number;
}
class NetworkError extends Error {}
class Fatal extends Error {}

// Jitter has a spec of its own; here every delay is exact.
beforeEach(() => {
  const { delayAfter } = BackoffPolicy.prototype;
  vi.spyOn(BackoffPolicy.prototype, 'delayAfter').mockImplementation(function (this: BackoffPolicy, attempt) {
    return delayAfter.call(this, attempt, () => 0);
  });
});
afterEach(() => void vi.restoreAllMocks());

/** An application whose one listener fails as `behave` says; its calls as `number@time`. */
async function failing(behave: (number: number) => unknown, options: ListenerOptions, given: AppOptions = {}) {
  const calls: string[] = [];
  @EventListener(OrderPlaced, { name: 'Orders', ...options })
  class Handler implements EventListener<OrderPlaced> {
    on({ number }: OrderPlaced): unknown {
      calls.push(`${number}@${app.clock.now() - begin}`);
      return behave(number);
    }
  }
  const app = await TestApp.start({ providers: [Handler] }, given);
  const begin = app.clock.now();
  const send = (number: number, id = 'k') => app.events.sendEvent(OrderPlaced, { id, number });
  return { app, calls, send };
}

const fail = (): never => {
  throw new Error('no');
};

/** Time goes by, in steps: what one of them sets off is due in the next. */
async function pass(app: TestApp, milliseconds = 1000): Promise<void> {
  for (let step = 0; step < 10; step++) await app.clock.advance(milliseconds / 10);
}

describe('retries by type of error', () => {
  it('wait as the most specific type says, and count in all', async () => {
    const errors = [new NetworkError(), new Error(), new NetworkError(), new NetworkError()];
    const { app, calls, send } = await failing(
      () => {
        throw errors[calls.length - 1] ?? new NetworkError();
      },
      {
        retry: {
          attempts: 3,
          backoff: [100],
          on: [{ type: NetworkError, attempts: 5, backoff: { kind: 'fixed', delay: 7 } }],
        },
      },
    );
    await send(1);
    await pass(app);
    expect(calls).toEqual(['1@0', '1@7', '1@107', '1@114', '1@121']);
    expect(await app.letter()).toMatchObject({ attempts: 5, reason: 'failed', error: { name: 'Error' } });
  });

  it('are not made where the type has no attempts', async () => {
    const { app, calls, send } = await failing(
      () => {
        throw new Fatal('never');
      },
      { retry: { on: [{ type: Fatal, attempts: 0 }] } },
    );
    await send(1);
    await pass(app);
    expect(calls).toEqual(['1@0']);
    expect(await app.letter()).toMatchObject({ attempts: 1, reason: 'failed', error: { message: 'never' } });
  });

  it('are not taken for crashes where a type has more attempts than the listener', async () => {
    const { app, calls, send } = await failing(
      () => {
        if (calls.length < 4) throw new NetworkError();
      },
      { order: 'none', retry: { attempts: 1, move: true, on: [{ type: NetworkError, attempts: 4, backoff: [5] }] } },
    );
    await send(1);
    await pass(app);
    expect(calls).toHaveLength(4);
    expect(await app.letters()).toEqual([]);
  });

  it('are given by configuration, which takes back what the decorator says of pauses', async () => {
    const { app, calls, send } = await failing(
      fail,
      { retry: { attempts: 3, delay: 50 } },
      {
        listeners: { Orders: { retry: { backoff: [10, 20] } } },
      },
    );
    await send(1);
    await pass(app);
    expect(calls).toEqual(['1@0', '1@10', '1@30']);
  });

  it('are refused at the start where they cannot be used', async () => {
    const app = await TestApp.create({ providers: [] });
    await app.module.init();
    const options = { name: 'Late', retry: { backoff: [], on: [{ type: Fatal, attempts: -1 }] } };
    expect(await refusal(app.module.get(EventListeners).subscribe(OrderPlaced, fail, options))).toMatchObject({
      code: 'EVT_INVALID_LISTENER_OPTIONS',
      message: expect.stringContaining('retry.on[0].attempts cannot be -1'),
    });
  });
});

describe("exhausted: 'discard'", () => {
  const options: ListenerOptions = { retry: { attempts: 2, backoff: [10], exhausted: 'discard' } };

  it('accepts the event, says so, and counts it', async () => {
    const { app, calls, send } = await failing((number) => number === 1 && fail(), options);
    await send(1);
    await send(2);
    await pass(app);
    expect(calls).toEqual(['1@0', '1@10', '2@10']);
    expect(await app.letters()).toEqual([]);
    expect(app.logger.having('discarded')).toEqual([
      expect.stringMatching(/^error Handler failed at attempt 2, and the event is discarded: "orders\.placed" /),
    ]);
    const report = await app.module.get(EventingHealth).report();
    expect(report.subscriptions).toMatchObject([{ name: 'Orders', discarded: 1, unsettled: 0 }]);
    expect(app.logger.having('retry 2 in place, then discard')).toHaveLength(1);
  });

  it('keeps what is refused for good, and what cannot be read', async () => {
    const { app, send } = await failing(() => {
      throw new RejectEvent('never');
    }, options);
    await send(1);
    await app.publishRaw({ channel: 'orders', body: Buffer.from('?') });
    await pass(app);
    expect((await app.letters()).map(({ reason }) => reason).sort()).toEqual(['rejected', 'undecodable']);
  });

  it('also where nothing is called twice', async () => {
    const { app, send } = await failing(fail, { ...options, guarantee: 'at-most-once' });
    await send(1);
    await pass(app);
    expect(await app.letters()).toEqual([]);
    const report = await app.module.get(EventingHealth).report();
    expect(report.subscriptions).toMatchObject([{ discarded: 1 }]);
  });
});

describe("exhausted: 'stop'", () => {
  const options: ListenerOptions = { concurrency: 4, retry: { attempts: 2, backoff: [10], exhausted: 'stop' } };

  /** A listener that has stopped at event 1, with two of its key and two of another behind it. */
  async function stopped(given: ListenerOptions = options) {
    let broken = true;
    const shop = await failing((number) => number === 1 && broken && fail(), given);
    const { app, send } = shop;
    await send(1);
    await pass(app);
    await Promise.all([send(2), send(3), send(4, 'other'), send(5, 'other')]);
    await pass(app);
    return { ...shop, mend: () => (broken = false) };
  }

  it('handles nothing more; the event stays unsettled where it is, and nothing is a dead letter', async () => {
    const { app, calls } = await stopped();
    expect(calls).toEqual(['1@0', '1@10']);
    expect(await app.letters()).toEqual([]);
    expect(app.broker.queues()).toMatchObject([{ unsettled: 1, waiting: 4 }]);
  });

  it('tells so: one line that says how to go on, the list of listeners, and health', async () => {
    const { app } = await stopped();
    expect(app.logger.having('has stopped')).toEqual([
      expect.stringMatching(
        /^error Handler failed at its last attempt and has stopped.*EventListeners\.resume\('Orders'\)/,
      ),
    ]);
    const where = { listener: 'Orders', channel: 'orders', event: 'orders.placed', error: { message: 'no' } };
    expect(app.module.get(EventListeners).list()).toMatchObject([{ name: 'Orders', paused: true, stopped: where }]);
    const health = await app.module.get(EventingHealth).check();
    expect(health.eventing).toMatchObject({ status: 'down', subscriptions: [{ paused: true, stopped: where }] });
    expect(health.eventing.message).toMatch(/^Orders has stopped at orders \d+@\d+: no$/);
    expect(app.logger.having('retry 2 in place, then stop')).toHaveLength(1);
  });

  it('goes on when it is resumed, in order, with attempts counted anew', async () => {
    const { app, calls, mend } = await stopped();
    const listeners = app.module.get(EventListeners);
    listeners.resume('Orders');
    await pass(app);
    expect(calls.slice(2).filter((call) => call.startsWith('1@'))).toHaveLength(2);
    expect(listeners.list()).toMatchObject([{ paused: true, stopped: {} }]);
    mend();
    listeners.resume('Orders');
    await pass(app);
    const order = calls.map((call) => Number(call.split('@')[0]));
    expect(order.filter((number) => number <= 3).slice(-3)).toEqual([1, 2, 3]);
    expect(order.filter((number) => number > 3)).toEqual([4, 5]);
    expect(listeners.list()).toMatchObject([{ paused: false }]);
    expect(listeners.list()[0]).not.toHaveProperty('stopped');
    expect((await app.module.get(EventingHealth).check()).eventing.status).toBe('up');
  });

  it('holds back what was delivered already', async () => {
    let broken = true;
    const { app, calls, send } = await failing((number) => number === 1 && broken && fail(), options);
    await Promise.all([send(1), send(2), send(3, 'other'), send(4, 'other')]);
    await pass(app);
    await send(5, 'third');
    await pass(app);
    // The other key was handled before the stop; what came later waits.
    expect(calls.filter((call) => /^[25]@/.test(call))).toEqual([]);
    broken = false;
    app.module.get(EventListeners).resume('Orders');
    await pass(app);
    expect(calls.map((call) => call.split('@')[0]).filter((number) => number === '2' || number === '5')).toHaveLength(
      2,
    );
  });

  it('gives everything back when the application ends', async () => {
    const { app } = await stopped();
    await app.close();
    expect(app.broker.queues()).toMatchObject([{ waiting: 5, unsettled: 0, members: 0 }]);
    expect((await app.broker.deadLetters('shop').scan({ limit: 10 })).letters).toEqual([]);
  });

  it('lets the listener make a dead letter of it, and goes on', async () => {
    let reject = false;
    const { app, calls, send } = await failing((number) => {
      if (number !== 1) return;
      if (reject) throw new RejectEvent('not to be mended');
      fail();
    }, options);
    await send(1);
    await send(2);
    await pass(app);
    reject = true;
    app.module.get(EventListeners).resume('Orders');
    await pass(app);
    expect(calls.at(-1)).toMatch(/^2@/);
    expect(await app.letter()).toMatchObject({ reason: 'rejected' });
  });

  it('holds a batch as well', async () => {
    let broken = true;
    const got: number[][] = [];
    @EventListener(OrderPlaced, { name: 'Orders', batch: { size: 4, wait: 5 }, retry: options.retry ?? {} })
    class Batches implements BatchEventListener<OrderPlaced> {
      onBatch(events: readonly OrderPlaced[]): void {
        got.push(events.map(({ number }) => number));
        if (broken) fail();
      }
    }
    const app = await TestApp.start({ providers: [Batches] });
    const send = (number: number) => app.events.sendEvent(OrderPlaced, { id: 'k', number });
    await Promise.all([send(1), send(2)]);
    await pass(app, 200);
    expect(app.module.get(EventListeners).list()).toMatchObject([{ stopped: {} }]);
    const before = got.length;
    await send(3);
    await pass(app);
    expect(got).toHaveLength(before);
    broken = false;
    app.module.get(EventListeners).resume('Orders');
    await pass(app, 200);
    expect(got.slice(before).flat()).toEqual([1, 2, 3]);
  });

  it('is refused with at-most-once', async () => {
    const app = await TestApp.start();
    const given = { name: 'Late', guarantee: 'at-most-once', retry: { exhausted: 'stop' } } as const;
    expect(await refusal(app.module.get(EventListeners).subscribe(OrderPlaced, fail, given))).toMatchObject({
      code: 'EVT_INVALID_LISTENER_OPTIONS',
      message: expect.stringContaining("retry.exhausted: 'stop' and at-most-once exclude each other"),
    });
  });
});
