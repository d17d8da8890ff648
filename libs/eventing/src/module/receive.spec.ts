import { IsInt, IsString, IsUUID } from 'class-validator';
import {
  type DeadLetter,
  Envelope,
  EnvelopePipeline,
  Event,
  EventListener,
  type ListenerDescriptor,
  type ListenerOptions,
  type Next,
  type OutgoingMessage,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { Gate, until } from '../kernel.fixture.js';
import { ce } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

const ID = '5b0b6f1e-6a5f-4b7a-9d8e-0c4d3f2a1b00';

@Event({ name: 'orders.placed', version: 2, channel: 'orders', key: 'orderId' })
class OrderPlaced {
  @IsUUID() orderId!: string;
  @IsInt() total!: number;
}
@Event({ name: 'orders.cancelled', channel: 'orders', key: 'orderId' })
class OrderCancelled {
  @IsString() orderId!: string;
}

const good = {
  headers: ce('orders.placed', { ce_dataversion: '2' }),
  body: Buffer.from(`{"orderId":"${ID}","total":1}`),
};

/** An application that listens to orders, and what it got. */
async function listening(
  options: ListenerOptions = {},
  app: AppOptions = {},
  events: (typeof OrderPlaced)[] = [OrderPlaced],
) {
  const got: object[] = [];
  @EventListener(events, options)
  class SendReceipt implements EventListener {
    on(event: object): void {
      got.push(event);
    }
  }
  return { app: await TestApp.start({ providers: [SendReceipt] }, app), got };
}

/** Publishes bytes as foreign software would, and gives the dead letter that they must become, bytes and all. */
async function buried(
  message: Partial<OutgoingMessage>,
  options: ListenerOptions = {},
  appOptions: AppOptions = {},
): Promise<DeadLetter> {
  const { app, got } = await listening(options, appOptions);
  const sent = await app.publishRaw({ ...good, channel: 'orders', key: 'k', ...message });
  await app.idle();
  const letter = await app.letter();
  expect(letter.message).toEqual({
    key: sent.key,
    headers: sent.headers,
    body: sent.body,
    time: sent.time,
    position: expect.any(String),
  });
  expect(letter).toMatchObject({ service: 'shop', listener: 'SendReceipt', channel: 'orders', attempts: 0 });
  expect(got).toEqual([]);
  expect(app.logger.having(`error Dead letter (${letter.reason}) of SendReceipt: `)).toHaveLength(1);
  // Its key goes on.
  await app.publishRaw({ ...good, channel: 'orders', key: 'k' });
  await app.idle();
  expect(got).toHaveLength(1);
  return letter;
}

describe('what cannot be handled becomes a dead letter at once, with its bytes, a code and the remedy', () => {
  it.each([
    ['not JSON', Buffer.from('{"orderId":'), 'undecodable', 'EVT_UNDECODABLE', /JSON/],
    ['empty', Buffer.alloc(0), 'undecodable', 'EVT_UNDECODABLE', /JSON/],
    ['not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), 'undecodable', 'EVT_UNDECODABLE', /the bytes are not UTF-8/],
    [
      'a __proto__ key',
      Buffer.from('{"__proto__":{"admin":true}}'),
      'undecodable',
      'EVT_UNDECODABLE',
      /forbidden prototype property/,
    ],
    [
      'an escaped __proto__ key',
      Buffer.from('{"\\u005f_proto\\u005f_":1}'),
      'undecodable',
      'EVT_UNDECODABLE',
      /forbidden prototype/,
    ],
    [
      'a deep __proto__ key',
      Buffer.from('{"a":[{"__proto__":1}]}'),
      'undecodable',
      'EVT_UNDECODABLE',
      /forbidden prototype/,
    ],
    [
      'a wrong type',
      Buffer.from(`{"orderId":"${ID}","total":"1"}`),
      'invalid',
      'EVT_INVALID_BODY',
      /total must be an integer/,
    ],
    ['a missing field', Buffer.from('{"total":1}'), 'invalid', 'EVT_INVALID_BODY', /orderId must be a UUID/],
    [
      'an unknown field',
      Buffer.from(`{"orderId":"${ID}","total":1,"x":1}`),
      'invalid',
      'EVT_INVALID_BODY',
      /property x should not exist/,
    ],
    ['null', Buffer.from('null'), 'invalid', 'EVT_INVALID_BODY', /it is null, not an object/],
    ['an array', Buffer.from('[]'), 'invalid', 'EVT_INVALID_BODY', /it is an array, not an object/],
    ['a number', Buffer.from('7'), 'invalid', 'EVT_INVALID_BODY', /it is a number, not an object/],
  ])('a body that is or has %s', async (_what, body, reason, code, message) => {
    const letter = await buried({ body });
    expect(letter).toMatchObject({ reason, error: { code, name: 'EventingError' } });
    expect(letter.error.message).toMatch(message);
    expect(letter.event).toEqual({ name: 'orders.placed', version: 2, id: 'e1' });
    expect(letter.error.message).toMatch(
      reason === 'invalid'
        ? /^The body of "orders\.placed" is not a valid OrderPlaced: .*Mend the sender, or the class\.$/
        : /^The body of "orders\.placed" cannot be read: /,
    );
  });

  it('a body over the limit', async () => {
    const letter = await buried({ body: Buffer.alloc(101, 'x') }, {}, { maxBodyBytes: 100 });
    expect(letter).toMatchObject({
      reason: 'too-large',
      error: {
        code: 'EVT_BODY_TOO_LARGE',
        message: 'The body has 101 bytes, 100 are allowed: raise maxBodyBytes in EventingModule.',
      },
    });
  });

  it.each([
    [
      'a header value that is not UTF-8',
      { ...good.headers, tenant: Buffer.from([0xc3, 0x28]) },
      /header "tenant" is not UTF-8/,
    ],
    ['an attribute that is not UTF-8', { ...good.headers, ce_id: Buffer.from([0xff]) }, /header "ce_id" is not UTF-8/],
    ['no envelope', {}, /it is not a CloudEvent \(no specversion\); give the event another wire format/],
    ['no id', ce('orders.placed', { ce_id: '' }), /CloudEvents id is missing/],
    ['an expiry that is no date', { ...good.headers, ce_expirytime: 'soon' }, /expirytime "soon" is not a date/],
  ])('%s', async (_what, headers, message) => {
    const letter = await buried({ headers });
    expect(letter).toMatchObject({ reason: 'undecodable', error: { code: 'EVT_UNDECODABLE' } });
    expect(letter.error.message).toMatch(message);
    expect(letter).not.toHaveProperty('event');
  });

  it('an unknown event, where the channel has one', async () => {
    expect(await buried({ headers: ce('orders.shipped') })).toMatchObject({
      reason: 'unknown-event',
      event: { name: 'orders.shipped', version: 1, id: 'e1' },
      error: {
        code: 'EVT_UNKNOWN_EVENT',
        message:
          '"orders.shipped" came on the channel "orders", where "orders.placed" lives: declare it, or set unknown: \'skip\'.',
      },
    });
  });

  it('an unknown version, newer or without an upcaster', async () => {
    for (const version of ['1', '3'])
      expect(await buried({ headers: ce('orders.placed', { ce_dataversion: version }) })).toMatchObject({
        reason: 'unknown-version',
        error: {
          code: 'EVT_UNKNOWN_VERSION',
          message: `"orders.placed" came in version ${version}, known are 2: add an upcaster, or a class of that version.`,
        },
      });
  });

  it('an event that expired before anybody could handle it', async () => {
    const letter = await buried({ headers: { ...good.headers, ce_expirytime: '2020-01-01T00:00:00Z' } });
    expect(letter).toMatchObject({
      reason: 'expired',
      error: {
        code: 'EVT_EXPIRED',
        message: expect.stringContaining('"orders.placed" expired at 2020-01-01T00:00:00.000Z'),
      },
    });
  });
});

describe('a type that the listener did not ask for', () => {
  it('is skipped where the channel has other events', async () => {
    @EventListener(OrderCancelled)
    class Other implements EventListener {
      on(): void {
        return;
      }
    }
    const got: object[] = [];
    @EventListener(OrderPlaced)
    class SendReceipt implements EventListener {
      on(event: object): void {
        got.push(event);
      }
    }
    const app = await TestApp.start({ providers: [SendReceipt, Other] });
    await app.events.sendEvent(OrderCancelled, { orderId: ID });
    await app.publishRaw({ channel: 'orders', headers: ce('orders.shipped') });
    await app.events.sendEvent(OrderPlaced, { orderId: ID, total: 1 });
    await app.idle();
    expect(got).toEqual([Object.assign(new OrderPlaced(), { orderId: ID, total: 1 })]);
    expect(await app.letters()).toEqual([]);
  });

  it('is skipped where the listener says so, and a dead letter where it says that', async () => {
    const skipping = await listening({ unknown: 'skip' });
    await skipping.app.publishRaw({ channel: 'orders', headers: ce('orders.shipped') });
    await skipping.app.idle();
    expect(await skipping.app.letters()).toEqual([]);

    const strict = await listening({ unknown: 'dead-letter' }, {}, [
      OrderPlaced,
      OrderCancelled,
    ] as (typeof OrderPlaced)[]);
    await strict.app.publishRaw({ channel: 'orders', headers: ce('orders.shipped') });
    await strict.app.idle();
    expect(await strict.app.letter()).toMatchObject({ reason: 'unknown-event' });
  });
});

describe('a listener that never returns', () => {
  async function stuck(options: ListenerOptions, onCall: (envelope: Envelope, call: number) => unknown) {
    let calls = 0;
    const reasons: unknown[] = [];
    @EventListener(OrderPlaced, { timeout: 1000, timeoutGrace: 500, ...options })
    class Stuck implements EventListener<OrderPlaced> {
      on(_event: OrderPlaced, envelope: Envelope<OrderPlaced>): unknown {
        envelope.signal.addEventListener('abort', () => reasons.push(envelope.signal.reason));
        return onCall(envelope, ++calls);
      }
    }
    const app = await TestApp.start({ providers: [Stuck] }, { drain: 1 });
    await app.events.sendEvent(OrderPlaced, { orderId: ID, total: 1 });
    return { app, reasons, calls: () => calls };
  }
  const never = (): Promise<void> => new Promise(() => undefined);

  it('is told by its signal when its time is over, keeps its lane for the grace, and is a dead letter in the end', async () => {
    const { app, reasons, calls } = await stuck({ retry: { attempts: 2, delay: 100 } }, never);
    await app.clock.advance(999);
    expect(reasons).toEqual([]);
    await app.clock.advance(1);
    expect(reasons).toMatchObject([
      { code: 'EVT_LISTENER_TIMEOUT', message: expect.stringContaining('Stuck did not return within 1000 ms') },
    ]);
    await app.clock.advance(499);
    expect(app.logger.having('Stuck failed')).toEqual([]);
    await app.clock.advance(1);
    expect(app.logger.having('warn Stuck failed at attempt 1 of 2')).toHaveLength(1);
    expect(calls()).toBe(1);
    await app.clock.advance(121);
    expect(calls()).toBe(2);
    await app.clock.advance(1500);
    expect(await app.letter()).toMatchObject({
      reason: 'failed',
      attempts: 2,
      error: {
        code: 'EVT_LISTENER_TIMEOUT',
        message: 'Stuck did not return within 1000 ms: heed envelope.signal, or raise its timeout.',
      },
    });
  });

  it('is retried at once, without the rest of the grace, if it heeds the signal', async () => {
    const { app, calls } = await stuck({ retry: { attempts: 2, delay: 100 } }, (envelope, call) =>
      call > 1
        ? undefined
        : new Promise((_resolve, reject) =>
            envelope.signal.addEventListener('abort', () => reject(envelope.signal.reason as Error)),
          ),
    );
    await app.clock.advance(1000);
    await app.clock.advance(121);
    expect(calls()).toBe(2);
    expect(await app.letters()).toEqual([]);
  });

  it('is accepted if it succeeds within the grace', async () => {
    const gate = new Gate();
    const { app, calls } = await stuck({}, () => gate.promise);
    await app.clock.advance(1200);
    gate.open();
    await app.clock.advance(60_000);
    expect(calls()).toBe(1);
    expect([await app.letters(), app.broker.queues().map(({ unsettled }) => unsettled)]).toEqual([[], [0]]);
  });

  it('says that it was too slow, whatever it throws when told to stop', async () => {
    const { app } = await stuck(
      { retry: { attempts: 1 } },
      (envelope) =>
        new Promise((_resolve, reject) =>
          envelope.signal.addEventListener('abort', () => reject(new Error('AbortError'))),
        ),
    );
    await app.clock.advance(1000);
    expect((await app.letter()).error).toMatchObject({ code: 'EVT_LISTENER_TIMEOUT' });
  });

  it('changes nothing any more when it returns after it was given up for lost', async () => {
    const gates = [new Gate(), new Gate()];
    const { app, calls } = await stuck(
      { retry: { attempts: 2, delay: 100 } },
      (_envelope, call) => gates[call - 1]?.promise,
    );
    await app.clock.advance(1500);
    await app.clock.advance(121);
    expect(calls()).toBe(2);
    gates[0]?.open();
    await app.clock.advance(100);
    expect(app.broker.queues()[0]?.unsettled).toBe(1);
    gates[1]?.fail(new Error('no'));
    await app.clock.advance(0);
    expect(await app.letter()).toMatchObject({ attempts: 2, error: { message: 'no' } });
  });

  it('does not hold up other keys', async () => {
    const done: string[] = [];
    @EventListener(OrderPlaced)
    class OneStuck implements EventListener<OrderPlaced> {
      on({ total }: OrderPlaced, { key }: Envelope<OrderPlaced>): Promise<void> {
        if (key === 'stuck') return never();
        done.push(`${key} ${total}`);
        return Promise.resolve();
      }
    }
    const app = await TestApp.start({ providers: [OneStuck] }, { drain: 1 });
    for (const key of ['stuck', 'a', 'stuck', 'b'])
      await app.events.sendEvent(OrderPlaced, { orderId: ID, total: 1 }, { key });
    await until(() => done.length === 2);
    expect(done.sort()).toEqual(['a 1', 'b 1']);
  });
});

describe('a pipeline that does not keep to next() once', () => {
  it.each([
    [
      'EVT_PIPELINE_NEXT_TWICE',
      1,
      async (next: Next) => {
        await next();
        await next();
      },
    ],
    ['EVT_PIPELINE_NEXT_MISSING', 0, () => Promise.resolve()],
  ])('fails the attempt (%s), and the event is a dead letter in the end', async (code, called, run) => {
    let calls = 0;
    @EventListener(OrderPlaced, { retry: { attempts: 2, delay: 100 } })
    class SendReceipt implements EventListener {
      on(): void {
        calls++;
      }
    }
    @EnvelopePipeline()
    class Sloppy implements EnvelopePipeline {
      handle(_envelope: Envelope, _listener: ListenerDescriptor, next: Next): Promise<void> {
        return run(next);
      }
    }
    const app = await TestApp.start({ providers: [SendReceipt, Sloppy] });
    const { id } = await app.events.sendEvent(OrderPlaced, { orderId: ID, total: 1 });
    await app.clock.advance(1000);
    expect(await app.letter()).toMatchObject({
      reason: 'failed',
      attempts: 2,
      event: { id },
      error: { code, message: expect.stringContaining('Sloppy.handle ') },
      message: { body: Buffer.from(`{"orderId":"${ID}","total":1}`) },
    });
    expect(calls).toBe(2 * called);
  });
});
