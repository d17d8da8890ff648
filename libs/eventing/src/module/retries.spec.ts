import { Inject } from '@nestjs/common';
import {
  type FoundDeadLetter,
  Envelope,
  Event,
  EventListener,
  EventManager,
  type ListenerOptions,
  RejectEvent,
} from 'nestjs-eventing';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { refusal, turn, until } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';
import { RetryPolicy } from '../receive/retry.policy.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  number!: number;
}
@Event({ name: 'mail.sent' })
class MailSent {
  number!: number;
}

// Jitter has a spec of its own; here every delay is exact.
beforeEach(() => {
  const { delayAfter } = RetryPolicy.prototype;
  vi.spyOn(RetryPolicy.prototype, 'delayAfter').mockImplementation(function (
    this: RetryPolicy,
    attempt,
    _random,
    error,
  ) {
    return delayAfter.call(this, attempt, () => 0, error);
  });
});
afterEach(() => void vi.restoreAllMocks());

type Call = [number: number, attempt: number, at: number];

/** An application whose one listener fails as `behave` says, and every call of it. */
async function retrying(
  behave: (number: number, envelope: Envelope) => unknown,
  options: ListenerOptions = {},
  app: AppOptions = {},
) {
  const calls: Call[] = [];
  @EventListener([OrderPlaced, MailSent], { order: 'none', unknown: 'skip', ...options })
  class Handler implements EventListener<OrderPlaced | MailSent> {
    on({ number }: OrderPlaced | MailSent, envelope: Envelope): unknown {
      calls.push([number, envelope.attempt, started.clock.now() - begin]);
      return behave(number, envelope);
    }
  }
  const started = await TestApp.start({ providers: [Handler] }, app);
  const begin = started.clock.now();
  const keyed = (number: number, id = 'k'): Promise<Envelope> => started.events.sendEvent(OrderPlaced, { id, number });
  const keyless = (number: number): Promise<Envelope> => started.events.sendEvent(MailSent, { number });
  return { app: started, calls, keyed, keyless };
}
const fail = (): never => {
  throw new Error('no');
};
/** Fails number 1 so often. */
const failing =
  (times: number) =>
  (number: number, { attempt }: Envelope): void => {
    if (number === 1 && attempt <= times) throw new Error(`no ${attempt}`);
  };

describe('an event with a key that fails', () => {
  it('is retried in place, after 200 ms, then twice as long each time, and is accepted when it succeeds', async () => {
    const { app, calls, keyed } = await retrying(failing(3));
    await keyed(1);
    await app.clock.advance(60_000);
    expect(calls).toEqual([
      [1, 1, 0],
      [1, 2, 200],
      [1, 3, 600],
      [1, 4, 1400],
    ]);
    expect([await app.letters(), app.broker.queues().map(({ unsettled }) => unsettled)]).toEqual([[], [0, 0]]);
  });

  it('holds its own lane, and no other: those behind it wait, other keys go on', async () => {
    const { app, calls, keyed } = await retrying(failing(1));
    for (const number of [1, 2, 3]) await keyed(number);
    await keyed(4, 'other');
    await app.clock.advance(199);
    expect(calls).toEqual([
      [1, 1, 0],
      [4, 1, 0],
    ]);
    await app.clock.advance(1);
    expect(calls.slice(2)).toEqual([
      [1, 2, 200],
      [2, 1, 200],
      [3, 1, 200],
    ]);
  });

  it('takes no place while it waits: with a concurrency of one, others run', async () => {
    const { app, calls, keyed } = await retrying(failing(1), { concurrency: 1 });
    await keyed(1);
    await keyed(2, 'other');
    await app.clock.advance(0);
    expect(calls.map(([number]) => number)).toEqual([1, 2]);
  });

  it('becomes a dead letter when its attempts are exhausted, and its lane goes on', async () => {
    const { app, calls, keyed } = await retrying((number) => (number === 1 ? fail() : undefined), {
      retry: { attempts: 3 },
    });
    const { id, correlationId } = await keyed(1);
    await keyed(2);
    const begin = app.clock.now();
    await app.clock.advance(600);
    expect(calls).toEqual([
      [1, 1, 0],
      [1, 2, 200],
      [1, 3, 600],
      [2, 1, 600],
    ]);
    const letter = await app.letter();
    expect(letter).toEqual({
      id: expect.stringMatching(/^[\w-]{22}$/),
      provider: 'default',
      service: 'shop',
      listener: 'Handler',
      channel: 'orders',
      reason: 'failed',
      error: { name: 'Error', message: 'no', stack: expect.stringContaining('Error: no') },
      attempts: 3,
      firstFailedAt: begin,
      deadAt: begin + 600,
      event: { name: 'orders.placed', version: 1, id },
      message: {
        key: 'k',
        headers: expect.objectContaining({ ce_id: id }),
        body: Buffer.from('{"id":"k","number":1}'),
        time: begin,
        position: expect.any(String),
      },
    } satisfies FoundDeadLetter);
    expect(app.logger.having('warn')).toEqual([
      expect.stringContaining('warn Handler failed at attempt 1 of 3, again in 200 ms: "orders.placed"'),
      expect.stringContaining('warn Handler failed at attempt 2 of 3, again in 400 ms'),
    ]);
    expect(app.logger.having('error')).toEqual([
      expect.stringMatching(
        new RegExp(
          `^error Dead letter \\(failed\\) of Handler: "orders.placed" ${id} \\(correlation ${correlationId}\\) at orders .*: no$`,
        ),
      ),
    ]);
  });

  it('is not retried where there is one attempt', async () => {
    const { app, calls, keyed } = await retrying(fail, { retry: { attempts: 1 } });
    await keyed(1);
    await app.clock.advance(0);
    expect(calls).toHaveLength(1);
    expect(await app.letter()).toMatchObject({ attempts: 1 });
  });

  it('holds its lane at most five minutes in all, whatever its options say', async () => {
    const { app, calls, keyed } = await retrying((number) => (number === 1 ? fail() : undefined), {
      retry: { attempts: 1000, delay: 60_000, factor: 1, maxDelay: 60_000 },
    });
    await keyed(1);
    await keyed(2);
    await app.clock.advance(299_999);
    expect(calls.map(([number]) => number)).toEqual([1, 1, 1, 1, 1]);
    await app.clock.advance(1);
    expect(calls.slice(5)).toEqual([
      [1, 6, 300_000],
      [2, 1, 300_000],
    ]);
    expect(await app.letter()).toMatchObject({ reason: 'failed', attempts: 6 });
  });

  it('is moved where the listener gave up order for it', async () => {
    const { app, calls, keyed } = await retrying(failing(1), { retry: { move: true } });
    await keyed(1);
    await keyed(2);
    await app.clock.advance(199);
    expect(calls.map(([number]) => number)).toEqual([1, 2]);
    await app.clock.advance(1);
    expect(calls.slice(2)).toEqual([[1, 2, 200]]);
  });
});

describe('an event without a key that fails', () => {
  it('is moved, not before its time, while others overtake it', async () => {
    const { app, calls, keyless } = await retrying(failing(2), { concurrency: 1 });
    for (const number of [1, 2, 3]) await keyless(number);
    await app.clock.advance(0);
    expect(calls.map(([number]) => number).sort()).toEqual([1, 2, 3]);
    expect(app.broker.queues().map(({ deferred, unsettled }) => [deferred, unsettled])).toContainEqual([1, 0]);
    await app.clock.advance(60_000);
    expect(calls.slice(3)).toEqual([
      [1, 2, 200],
      [1, 3, 600],
    ]);
    expect(await app.letters()).toEqual([]);
  });

  it('becomes a dead letter when its attempts are exhausted', async () => {
    const { app, calls, keyless } = await retrying(fail, { retry: { attempts: 3 } });
    await keyless(1);
    await app.clock.advance(60_000);
    expect(calls.map(([, attempt, at]) => [attempt, at])).toEqual([
      [1, 0],
      [2, 200],
      [3, 600],
    ]);
    expect(await app.letter()).toMatchObject({ reason: 'failed', attempts: 3 });
  });

  it('may wait longer than five minutes: it holds up nobody', async () => {
    const { app, calls, keyless } = await retrying(failing(1), { retry: { delay: 600_000, maxDelay: 600_000 } });
    await keyless(1);
    await app.clock.advance(600_000);
    expect(calls).toEqual([
      [1, 1, 0],
      [1, 2, 600_000],
    ]);
  });

  it('stays where the listener says so', async () => {
    const { app, calls, keyless } = await retrying(failing(1), { retry: { move: false } });
    await keyless(1);
    await app.clock.advance(0);
    expect(app.broker.queues().find(({ channel }) => channel === 'mail.sent')).toMatchObject({
      deferred: 0,
      unsettled: 1,
    });
    await app.clock.advance(200);
    expect(calls).toHaveLength(2);
  });

  it('is held by the kernel where the provider cannot keep it that long', async () => {
    const provider = new ScriptedProvider({ longestDefer: 300 });
    const { app, calls } = await retrying(failing(3), {}, { provider: provider.factory });
    const body = Buffer.from('{"number":1}');
    const delivery = provider.deliver({ channel: 'mail.sent', type: 'mail.sent', body });
    await app.clock.advance(0);
    expect(delivery.settlements).toEqual([{ kind: 'defer', notBefore: app.clock.now() + 200, attempt: 2 }]);
    const second = provider.deliver({ channel: 'mail.sent', type: 'mail.sent', body, attempt: 2 });
    await app.clock.advance(399);
    expect([second.kinds, calls.length]).toEqual([[], 2]);
    await app.clock.advance(1);
    expect(calls.at(-1)).toEqual([1, 3, 400]);
  });
});

describe('RejectEvent', () => {
  it.each(['keyed', 'keyless'] as const)('makes an event a dead letter at once (%s)', async (kind) => {
    const world = await retrying((number) => {
      if (number === 1) throw new RejectEvent('no such order', { cause: new Error('404') });
    });
    await world[kind](1);
    await world[kind](2);
    await world.app.clock.advance(0);
    expect(world.calls.map(([number]) => number).sort()).toEqual([1, 2]);
    expect(await world.app.letter()).toMatchObject({
      reason: 'rejected',
      attempts: 1,
      error: { code: 'EVT_REJECTED', name: 'RejectEvent', message: 'no such order' },
    });
  });

  it('works when it is thrown at a later attempt, or by an async function', async () => {
    const { app, keyed } = await retrying(async (_number, { attempt }) => {
      await turn();
      if (attempt === 1) throw new Error('not yet');
      throw new RejectEvent('now it is clear');
    });
    await keyed(1);
    await app.clock.advance(200);
    expect(await app.letter()).toMatchObject({ reason: 'rejected', attempts: 2 });
  });
});

describe('what a listener may throw', () => {
  it.each([
    ['text', 'text', 'A string was thrown: text'],
    ['nothing', undefined, 'A undefined was thrown: undefined'],
    ['an object without a prototype', Object.create(null), 'A object was thrown: it has no text'],
    ['an error with a strange message', Object.assign(new Error('x'), { message: { detail: 1 } }), '[object Object]'],
    ['an error with a strange stack', Object.assign(new Error('strange'), { stack: ['a', 'b'] }), 'strange'],
  ])('%s', async (_what, thrown, message) => {
    for (const asynchronous of [false, true]) {
      const { app, calls, keyed } = await retrying(
        (number) => {
          if (number > 1) return undefined;
          if (asynchronous) return Promise.reject(thrown as Error);
          throw thrown;
        },
        { retry: { attempts: 1 } },
      );
      await keyed(1);
      await keyed(2);
      await app.clock.advance(0);
      expect((await app.letter()).error.message).toBe(message);
      expect(calls).toHaveLength(2);
    }
  });

  it('is kept at a bounded length', async () => {
    const { app, keyed } = await retrying(
      () => {
        throw new Error('x'.repeat(100_000));
      },
      { retry: { attempts: 1 } },
    );
    await keyed(1);
    await app.clock.advance(0);
    const { error } = await app.letter();
    expect([error.message.length, error.stack?.length]).toEqual([2000, 4000]);
  });
});

describe('a provider that is lost', () => {
  it('brings back what was not settled, and the kernel goes on where it was', async () => {
    const { app, calls, keyed } = await retrying(failing(1));
    await keyed(1);
    await keyed(2);
    await app.clock.advance(0);
    app.broker.faults.disconnect();
    await app.clock.advance(10_000);
    app.broker.faults.connect();
    await app.clock.advance(10_000);
    expect(calls.filter(([number]) => number === 2)).toHaveLength(1);
    expect(calls.findLastIndex(([number]) => number === 1)).toBeLessThan(calls.findIndex(([number]) => number === 2));
    expect(app.broker.queues().every(({ waiting, unsettled }) => waiting + unsettled === 0)).toBe(true);
    expect(await app.letters()).toEqual([]);
  });

  it('brings an event to another instance when a process dies at it, with the attempt counted', async () => {
    const { app, calls, keyed } = await retrying(() => new Promise(() => undefined), {}, { instance: 'one', drain: 1 });
    const got: number[] = [];
    @EventListener([OrderPlaced, MailSent], { name: 'Handler', order: 'none', unknown: 'skip' })
    class Second implements EventListener {
      on(_event: object, { attempt }: Envelope): void {
        got.push(attempt);
      }
    }
    await TestApp.start({ providers: [Second] }, { broker: app.broker, clock: app.clock, instance: 'two' });
    for (let number = 0; number < 8; number++) await keyed(number, `key${number}`);
    await app.clock.advance(0);
    expect(calls.length).toBeGreaterThan(0);
    app.broker.faults.crash('one');
    await app.clock.advance(10_000);
    expect(got.filter((attempt) => attempt === 2)).toHaveLength(calls.length);
    expect(got).toHaveLength(8);
  });

  it('makes a message a dead letter that killed every process that tried it', async () => {
    const provider = new ScriptedProvider();
    const { app, calls } = await retrying(() => undefined, { retry: { attempts: 3 } }, { provider: provider.factory });
    const body = Buffer.from('{"id":"k","number":1}');
    const survivor = provider.deliver({ key: 'k', channel: 'orders', type: 'orders.placed', body, attempt: 3 });
    const killer = provider.deliver({ key: 'j', channel: 'orders', type: 'orders.placed', body, attempt: 4 });
    await app.clock.advance(0);
    expect([survivor.kinds, calls.length]).toEqual([['accept'], 1]);
    expect(killer.letter).toMatchObject({
      reason: 'crashed',
      attempts: 3,
      error: {
        code: 'EVT_CRASH_LOOP',
        message: expect.stringMatching(/died at each of 3 attempts.*Handler.*"orders\.placed"/),
      },
    });
  });
});

describe('a dead-letter store that fails', () => {
  it('loses nothing: the message stays unsettled, its lane waits, and the letter is written when the store is back', async () => {
    const { app, calls, keyed } = await retrying((number) => (number === 1 ? fail() : undefined), {
      retry: { attempts: 1 },
    });
    app.broker.faults.failDeadLetters(3);
    await keyed(1);
    await keyed(2);
    await keyed(3, 'other');
    await app.clock.advance(2999);
    expect(calls.map(([number]) => number)).toEqual([1, 3]);
    expect(app.logger.having('error It could not be settled (reject)')).toHaveLength(3);
    await app.clock.advance(1);
    expect(calls.map(([number]) => number)).toEqual([1, 3, 2]);
    expect(await app.letter()).toMatchObject({ reason: 'failed' });
  });

  it('says so where a message is settled already (at-most-once)', async () => {
    const { app, keyed } = await retrying(fail, { guarantee: 'at-most-once' });
    app.broker.faults.failDeadLetters(1);
    await keyed(1);
    await app.clock.advance(0);
    expect(app.logger.having('error Its dead letter could not be stored')).toEqual([
      expect.stringContaining('"orders.placed"'),
    ]);
  });
});

describe('a send that fails inside a listener', () => {
  it("rejects the listener's own promise with its code, and fails the attempt", async () => {
    const codes: string[] = [];
    @EventListener(OrderPlaced, { retry: { attempts: 2 } })
    class Forwarder implements EventListener<OrderPlaced> {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async on({ number }: OrderPlaced): Promise<void> {
        const sent = this.events.sendEvent(MailSent, { number });
        codes.push((await refusal(sent.then(() => Promise.reject(new Error('it was sent'))))).code);
        await sent;
      }
    }
    const app = await TestApp.start({ providers: [Forwarder] });
    app.broker.faults.rejectNext(5, ({ channel }) => channel === 'mail.sent');
    await app.events.sendEvent(OrderPlaced, { id: 'k', number: 1 });
    await app.clock.advance(1000);
    expect(codes).toEqual(['EVT_PUBLISH_FAILED', 'EVT_PUBLISH_FAILED']);
    expect(await app.letter()).toMatchObject({ reason: 'failed', attempts: 2, error: { code: 'EVT_PUBLISH_FAILED' } });
  });
});

describe('a shutdown', () => {
  it('hands back at once what is in back-off, and those behind it; another instance goes on in order', async () => {
    const { app, calls, keyed } = await retrying(
      failing(9),
      { retry: { delay: 60_000, maxDelay: 60_000 } },
      { instance: 'one' },
    );
    for (const number of [1, 2, 3]) await keyed(number);
    await app.clock.advance(0);
    const { broker, clock } = app;
    const begin = clock.now();
    await app.close();
    expect(clock.now() - begin).toBeLessThanOrEqual(1000);
    expect(calls).toHaveLength(1);
    const got: number[] = [];
    @EventListener([OrderPlaced, MailSent], { name: 'Handler', order: 'none', unknown: 'skip' })
    class Second implements EventListener<OrderPlaced> {
      on({ number }: OrderPlaced): void {
        got.push(number);
      }
    }
    const second = await TestApp.start({ providers: [Second] }, { broker, clock, instance: 'two' });
    await second.idle();
    expect(got).toEqual([1, 2, 3]);
  });

  it('waits for what executes', async () => {
    let finish: () => void = () => undefined;
    const { app, calls, keyed } = await retrying(() => new Promise<void>((resolve) => (finish = resolve)));
    await keyed(1);
    await until(() => calls.length === 1);
    let closed = false;
    const closing = app.module.close().then(() => (closed = true));
    await app.clock.advance(10_000);
    expect(closed).toBe(false);
    finish();
    await closing;
    expect(app.broker.queues().map(({ unsettled, waiting }) => unsettled + waiting)).toEqual([0, 0]);
  });

  it('waits no longer than drain, tells the listener by its signal, and hands the event back', async () => {
    let reason: unknown;
    const { app, calls, keyed } = await retrying(
      (_number, { signal }) => new Promise(() => signal.addEventListener('abort', () => (reason = signal.reason))),
      {},
      { drain: 3000 },
    );
    await keyed(1);
    await until(() => calls.length === 1);
    let closed = false;
    const closing = app.module.close().then(() => (closed = true));
    await app.clock.advance(2999);
    expect([closed, reason]).toEqual([false, undefined]);
    await app.clock.advance(100);
    await closing;
    expect(reason).toMatchObject({ code: 'EVT_NOT_RUNNING', message: expect.stringContaining('heed envelope.signal') });
    expect(app.broker.queues().find(({ channel }) => channel === 'orders')).toMatchObject({ waiting: 1, unsettled: 0 });
  });
});
