import { type CanActivate, type ExecutionContext, Injectable, Scope, UseGuards } from '@nestjs/common';
import {
  BatchError,
  type BatchEventListener,
  Decide,
  type Envelope,
  EnvelopePipeline,
  Event,
  EventExceptionHandler,
  EventHeader,
  EventListener,
  EventManager,
  type ListenerDescriptor,
  type ListenerOptions,
  type Next,
  RejectEvent,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { refusal } from '../kernel.fixture.js';
import { ce } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  number!: number;
}
@Event({ name: 'orders.counted' })
class OrdersCounted {
  number!: number;
}

type OnBatch = (events: readonly OrderPlaced[], envelopes: readonly Envelope<OrderPlaced>[]) => unknown;

/** An application with one batch listener, which writes down the numbers of each batch. */
async function batching(
  onBatch: OnBatch,
  options: ListenerOptions = {},
  more: { readonly providers?: readonly (new (...args: never[]) => object)[]; readonly app?: AppOptions } = {},
) {
  const batches: number[][] = [];
  @EventListener(OrderPlaced, { batch: { size: 4, wait: 100 }, retry: { attempts: 3, delay: 1000 }, ...options })
  class Bulk implements BatchEventListener<OrderPlaced> {
    onBatch(events: readonly OrderPlaced[], envelopes: readonly Envelope<OrderPlaced>[]): unknown {
      batches.push(events.map(({ number }) => number));
      return onBatch(events, envelopes);
    }
  }
  const app = await TestApp.start({ providers: [Bulk, ...(more.providers ?? [])] }, more.app ?? {});
  const place = (number: number, id = `k${number}`): Promise<Envelope> =>
    app.events.sendEvent(OrderPlaced, { id, number });
  const sequence = async (count: number): Promise<void> => {
    for (let number = 0; number < count; number++) await place(number);
    await app.clock.advance(0);
  };
  return { app, batches, place, sequence };
}

const fail = (): never => {
  throw new Error('no');
};

describe('a batch listener', () => {
  it('gets events together, with an envelope for each, and what is left after its wait', async () => {
    const seen: unknown[] = [];
    const { app, batches, sequence } = await batching((events, envelopes) => {
      seen.push(events.every((event, index) => event instanceof OrderPlaced && envelopes[index]?.body === event));
    });
    await sequence(6);
    await app.clock.advance(200);
    expect(batches.map((batch) => batch.length)).toEqual([4, 2]);
    expect(batches.flat().sort()).toEqual([0, 1, 2, 3, 4, 5]);
    expect(seen).toEqual([true, true]);
    expect(app.broker.queues().every(({ waiting, unsettled }) => waiting + unsettled === 0)).toBe(true);
  });

  it('may be a method, and is announced with its size', async () => {
    const got: number[] = [];
    class Orders {
      @EventListener(OrderPlaced, { batch: { size: 2 } })
      store(events: readonly OrderPlaced[]): void {
        got.push(events.length);
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await Promise.all([1, 2].map((number) => app.events.sendEvent(OrderPlaced, { id: 'a', number })));
    await app.idle();
    expect(got).toEqual([2]);
    expect(app.logger.having('Mapped {orders.placed → Orders.store}')[0]).toContain('· batches of 2 ·');
  });

  it('keeps a key in order, and in one batch at a time', async () => {
    const running = new Set<string>();
    const order = new Map<string, number[]>();
    const { app, place } = await batching(
      async (events) => {
        const keys = [...new Set(events.map(({ id }) => id))];
        for (const key of keys) expect(running.has(key)).toBe(false);
        for (const key of keys) running.add(key);
        await new Promise((resolve) => setImmediate(resolve));
        for (const { id, number } of events) order.set(id, [...(order.get(id) ?? []), number]);
        for (const key of keys) running.delete(key);
      },
      { concurrency: 3 },
    );
    await Promise.all(Array.from({ length: 200 }, (_, number) => place(number, `k${number % 7}`)));
    for (let step = 0; step < 20; step++) await app.clock.advance(100);
    await app.idle();
    for (let key = 0; key < 7; key++)
      expect(order.get(`k${key}`)).toEqual(Array.from({ length: 200 }, (_, n) => n).filter((n) => n % 7 === key));
  });

  it('names the events that failed: they are retried alone, the others are done', async () => {
    const { app, batches, sequence } = await batching((events, [first]) => {
      const index = events.findIndex(({ number }) => number === 1);
      if (index >= 0 && first?.attempt === 1) throw new BatchError([{ index, error: new Error('the second') }]);
    });
    await sequence(4);
    expect(batches).toEqual([[0, 1, 2, 3]]);
    await app.clock.advance(999);
    expect(batches).toHaveLength(1);
    await app.clock.advance(300);
    expect(batches).toEqual([[0, 1, 2, 3], [1]]);
    expect(await app.letters()).toEqual([]);
  });

  it('ends one bad event as a dead letter with its own error, and holds its key meanwhile', async () => {
    const { app, batches, place } = await batching((events) => {
      const index = events.findIndex(({ number }) => number === 0);
      if (index >= 0) throw new BatchError([{ index, error: new TypeError('bad') }]);
    });
    await Promise.all([place(0, 'a'), place(1, 'b'), place(2, 'b'), place(3, 'b')]);
    await app.clock.advance(0);
    await place(4, 'a');
    await app.clock.advance(10_000);
    expect(batches).toEqual([[0, 1, 2, 3], [0], [0], [4]]);
    expect(await app.letter()).toMatchObject({ attempts: 3, error: { name: 'TypeError' }, message: { key: 'a' } });
  });

  it('has every event handled alone after any other throw, at the same attempt, so that one alone can fail', async () => {
    const attempts: number[] = [];
    const { app, batches, sequence } = await batching(
      (events, envelopes) => {
        attempts.push(...envelopes.map(({ attempt }) => attempt));
        if (events.some(({ number }) => number === 2)) fail();
      },
      { retry: { attempts: 1 } },
    );
    await sequence(4);
    expect(batches).toEqual([[0, 1, 2, 3], [0], [1], [2], [3]]);
    expect(attempts).toEqual([1, 1, 1, 1, 1, 1, 1, 1]);
    expect(await app.letter()).toMatchObject({ message: { key: 'k2' }, attempts: 1 });
    expect(app.logger.having('Bulk failed at a batch of 4; each of its events is handled alone')).toHaveLength(1);
  });

  it.each([
    ['an index that is not there', [{ index: 4, error: new Error('x') }], 'names the event at 4; the batch has 4'],
    ['no index', [{ index: Number.NaN, error: new Error('x') }], 'names the event at NaN'],
    ['nothing', [], 'names no event'],
  ])('that names %s is told so, and its events are handled alone', async (_, failures, text) => {
    const { app, batches, sequence } = await batching(
      (events) => {
        if (events.length > 1) throw new BatchError(failures);
      },
      { retry: { attempts: 1 } },
    );
    await sequence(4);
    expect(batches).toEqual([[0, 1, 2, 3], [0], [1], [2], [3]]);
    expect(app.logger.having(text)).toHaveLength(1);
    expect(await app.letters()).toEqual([]);
  });

  it('that keeps naming an index that is not there makes dead letters that say so', async () => {
    const { app, place } = await batching(
      () => {
        throw new BatchError([{ index: 7, error: new Error('x') }]);
      },
      { retry: { attempts: 1 } },
    );
    await place(0);
    await app.clock.advance(200);
    expect((await app.letter()).error.code).toBe('EVT_BATCH_INDEX');
  });

  it('leaves out what cannot be read: that is a dead letter, and the rest is a batch', async () => {
    const { app, batches, place } = await batching(() => undefined);
    await place(0);
    await app.publishRaw({ channel: 'orders', headers: ce('orders.placed'), body: Buffer.from('{'), key: 'x' });
    await place(1);
    await app.clock.advance(200);
    expect(batches).toEqual([[0, 1]]);
    expect(await app.letter()).toMatchObject({ reason: 'undecodable' });
  });

  it('that times out is aborted; when it gives up, its events are handled alone', async () => {
    const reasons: unknown[] = [];
    const { app, batches, place } = await batching(
      (events, [first]) =>
        events.length === 1
          ? undefined
          : new Promise((_, reject) => {
              first?.signal.addEventListener('abort', () => {
                reasons.push((first.signal.reason as { code?: string }).code);
                reject(new Error('aborted'));
              });
            }),
      { timeout: 5000 },
    );
    await Promise.all([0, 1, 2, 3].map((number) => place(number)));
    await app.clock.advance(4_900);
    expect(batches).toHaveLength(1);
    await app.clock.advance(200);
    expect(reasons).toEqual(['EVT_LISTENER_TIMEOUT']);
    expect(batches.slice(1).flat().sort()).toEqual([0, 1, 2, 3]);
    expect(await app.letters()).toEqual([]);
  });

  it('that never returns loses nothing: after the grace its events are tried again', async () => {
    let stuck = true;
    const { app, batches, place } = await batching(() => (stuck ? new Promise(() => undefined) : undefined), {
      timeout: 1000,
      timeoutGrace: 1000,
    });
    await Promise.all([0, 1].map((number) => place(number)));
    await app.clock.advance(150);
    expect(batches).toHaveLength(1);
    stuck = false;
    await app.clock.advance(10_000);
    expect(batches.slice(1).flat().sort()).toEqual([0, 1]);
    expect(await app.letters()).toEqual([]);
  });

  it('at-most-once is not called again for what failed', async () => {
    const { app, batches, sequence } = await batching(fail, { guarantee: 'at-most-once' });
    await sequence(4);
    await app.clock.advance(10_000);
    expect(batches).toHaveLength(1);
    expect(await app.letters()).toHaveLength(4);
  });

  it('hands back at a stop what only waited for company', async () => {
    const { app, batches, place } = await batching(() => undefined, { batch: { size: 10, wait: 60_000 } });
    await place(0);
    await app.clock.advance(0);
    await app.close();
    expect(batches).toEqual([]);
    expect(app.broker.queues()).toMatchObject([{ waiting: 1, unsettled: 0 }]);
  });

  it('of one event has its cause; of several says itself which event caused what it sends', async () => {
    const causes: (string | undefined)[] = [];
    @EnvelopePipeline()
    class Watching implements EnvelopePipeline {
      send({ name, causationId }: Envelope, _event: unknown, next: Next): Promise<void> {
        if (name === 'orders.counted') causes.push(causationId);
        return next();
      }
    }
    const given = await batching(
      async (_events, envelopes) => {
        const events = given.app.module.get(EventManager);
        await events.sendEvent(OrdersCounted, { number: 0 });
        const [last] = envelopes.slice(-1);
        if (last !== undefined)
          await given.app.context.within(last, () => events.sendEvent(OrdersCounted, { number: 1 }));
      },
      {},
      { providers: [Watching] },
    );
    const one = await given.place(0);
    await given.app.clock.advance(200);
    const [, three] = await Promise.all([given.place(1), given.place(2)]);
    await given.app.clock.advance(200);
    expect(causes).toEqual([one.id, one.id, undefined, three.id]);
  });
});

describe('around a batch', () => {
  it('pipelines handle it whole, by handleBatch', async () => {
    const seen: string[] = [];
    @EnvelopePipeline()
    class Sessions implements EnvelopePipeline {
      handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        seen.push('one');
        return next();
      }
      async handleBatch(envelopes: readonly Envelope[], { label }: ListenerDescriptor, next: Next): Promise<void> {
        seen.push(`${label} ${envelopes.length}`);
        await next();
        seen.push('after');
      }
    }
    const { sequence } = await batching(() => void seen.push('called'), {}, { providers: [Sessions] });
    await sequence(4);
    expect(seen).toEqual(['Bulk 4', 'called', 'after']);
  });

  it('Nest’s guards see all events and envelopes', async () => {
    const seen: unknown[] = [];
    class Look implements CanActivate {
      canActivate(context: ExecutionContext): boolean {
        const [events, envelopes] = context.getArgs<[OrderPlaced[], Envelope[]]>();
        seen.push(events.length, envelopes.length, context.getHandler().name);
        return true;
      }
    }
    @UseGuards(Look)
    @EventListener(OrderPlaced, { batch: { size: 2 } })
    class Bulk implements BatchEventListener<OrderPlaced> {
      onBatch(events: readonly OrderPlaced[]): void {
        seen.push(events.length);
      }
    }
    const app = await TestApp.start({ providers: [Bulk] });
    await Promise.all([1, 2].map((number) => app.events.sendEvent(OrderPlaced, { id: 'a', number })));
    await app.idle();
    expect(seen).toEqual([2, 2, 'onBatch', 2]);
  });

  it('exception handlers decide of each event that failed', async () => {
    class Known extends Error {}
    @EventExceptionHandler(Known)
    class WhenKnown implements EventExceptionHandler<Known> {
      handle(_error: Known, { envelope }: { readonly envelope: Envelope }) {
        return envelope.key === 'k0' ? Decide.accept() : Decide.reject('never');
      }
    }
    const { app, sequence } = await batching(
      () => {
        throw new BatchError([0, 1].map((index) => ({ index, error: new Known('known') })));
      },
      {},
      { providers: [WhenKnown] },
    );
    await sequence(4);
    expect(await app.letter()).toMatchObject({ message: { key: 'k1' }, reason: 'rejected' });
  });

  it('RejectEvent for one event makes its dead letter at once', async () => {
    const { app, sequence } = await batching(() => {
      throw new BatchError([{ index: 3, error: new RejectEvent('never') }]);
    });
    await sequence(4);
    expect(await app.letter()).toMatchObject({ message: { key: 'k3' }, reason: 'rejected', attempts: 1 });
  });
});

describe('the start is refused', () => {
  const refused = async (...providers: (new (...args: never[]) => object)[]) =>
    refusal((await TestApp.create({ providers: providers as [] })).module.init());
  const bulk = (options: ListenerOptions, prototype: object = {}): new () => object => {
    class Bulk {
      onBatch(): void {
        return;
      }
    }
    Object.assign(Bulk.prototype, prototype);
    EventListener(OrderPlaced, options)(Bulk);
    return Bulk;
  };

  it.each<[ListenerOptions, string]>([
    [{ batch: { size: 0 } }, 'batch.size 0 must be a whole number of 1 to 10000'],
    [{ batch: { wait: -1 } }, 'batch.wait -1 must be 0 to 60000 milliseconds'],
    [{ batch: {}, group: 'shared' }, 'batch and group exclude each other'],
    [{ batch: {}, retry: { move: true }, order: 'none' }, 'batch and retry.move exclude each other'],
    [{ batch: { size: 50 }, window: 10 }, 'window 10 must hold a batch of 50'],
  ])('for %o', async (options, text) => {
    const error = await refused(bulk(options));
    expect(error.code).toBe('EVT_INVALID_LISTENER_OPTIONS');
    expect(error.message).toContain(text);
  });

  it('where there is no onBatch()', async () => {
    @EventListener(OrderPlaced, { batch: {} })
    class Single {
      on(): void {
        return;
      }
    }
    expect(await refused(Single)).toMatchObject({
      code: 'EVT_LISTENER_WITHOUT_ON',
      message: 'Single has no onBatch() method: write onBatch(events, envelopes).',
    });
  });

  it('where a pipeline would handle single events and knows nothing of batches, by name', async () => {
    @EnvelopePipeline()
    class Sessions implements EnvelopePipeline {
      handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        return next();
      }
    }
    const error = await refused(bulk({ batch: {} }), Sessions);
    expect(error).toMatchObject({
      code: 'EVT_BATCH_PIPELINE',
      message: expect.stringMatching(/^Sessions has handle\(\) and no handleBatch\(\), and Bulk takes batches/),
    });
  });

  it('where it would need a scope, or a header of many events', async () => {
    @Injectable({ scope: Scope.REQUEST })
    @EventListener(OrderPlaced, { batch: {} })
    class Scoped implements BatchEventListener {
      onBatch(): void {
        return;
      }
    }
    class Orders {
      @EventListener(OrderPlaced, { batch: {} })
      store(@EventHeader('tenant') _tenant: string): void {
        return;
      }
    }
    const { message } = await refused(Scoped, Orders);
    expect(message).toContain('Scoped takes batches and is request-scoped');
    expect(message).toContain('Orders.store takes batches, and each event has headers of its own');
  });
});
