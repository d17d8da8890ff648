import { describe, expect, it } from 'vitest';
import { Event, type EventOptions } from '../declare/event.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import { turn } from '../kernel.fixture.js';
import { BINDING, ce, ScriptedDelivery } from '../scripted.provider.fixture.js';
import type { Delivery } from '../provider/event-provider.js';
import { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import { describeListener } from '../registry/listener.plan.js';
import { Failure } from './failure.js';
import { MessageReader, type Read } from './message.reader.js';

const event = (options: EventOptions): EventClass => {
  @Event(options)
  class Given {}
  return Given;
};
const placed = event({ name: 'orders.placed', channel: 'orders' });
const cancelled = event({ name: 'orders.cancelled', channel: 'orders' });

/** A service with one subscription, that may know more events than it listens to. */
class Service {
  readonly registry = new EventRegistry();

  knows(...types: EventClass[]): this {
    for (const type of types) this.registry.describe(type);
    return this;
  }
  listener(types: readonly EventClass[], options: ListenerOptions = {}, label = 'A'): ListenerDescriptor {
    return describeListener({
      label,
      options,
      events: types.map((type) => this.registry.describe(type)),
      invoke: () => undefined,
    });
  }
  reader(types: readonly EventClass[], options: ListenerOptions = {}): MessageReader {
    return new MessageReader(this.registry, [this.listener(types, options)], BINDING, 100);
  }
}
const delivery = (type: string, more = {}, parts: Partial<Delivery> = {}): Delivery =>
  new ScriptedDelivery('orders', { headers: ce(type, more), ...parts }, 7);
const failureOf = (read: Read): { reason: string; code: string | undefined; message: string; known: boolean } => {
  if (read.kind !== 'failed') throw new Error(`it was ${read.kind}`);
  const { error, reason } = read.failure;
  return { reason, code: (error as { code?: string }).code, message: error.message, known: read.message !== undefined };
};

describe('who wants a message', () => {
  it('is the listener of its name and version', () => {
    const second = event({ name: 'orders.placed', version: 2, channel: 'orders' });
    const read = new Service().reader([placed, second]).identify(delivery('orders.placed', { ce_dataversion: '2' }));
    expect(read).toMatchObject({ kind: 'wanted', event: { type: second }, listener: { label: 'A' } });
  });

  it('is the one of a shared group that listens to it', () => {
    const service = new Service();
    const [a, b] = [
      service.listener([placed], { group: 'g' }, 'A'),
      service.listener([cancelled], { group: 'g' }, 'B'),
    ];
    const reader = new MessageReader(service.registry, [a, b], BINDING, 100);
    expect(reader.identify(delivery('orders.cancelled'))).toMatchObject({ kind: 'wanted', listener: { label: 'B' } });
  });

  it('is the listener that can upcast it, over as many steps as it takes', () => {
    const third = event({
      name: 'orders.placed',
      version: 3,
      channel: 'orders',
      upcast: { 1: (v1) => v1, 2: (v2) => v2 },
    });
    const reader = new Service().reader([third]);
    expect(reader.identify(delivery('orders.placed'))).toMatchObject({ kind: 'wanted', event: { version: 3 } });
    expect(reader.identify(delivery('orders.placed', { ce_dataversion: '2' }))).toMatchObject({ kind: 'wanted' });
  });

  it('is nobody where the name is another class of the channel', () => {
    expect(new Service().knows(cancelled).reader([placed]).identify(delivery('orders.cancelled')).kind).toBe(
      'unwanted',
    );
  });

  it('is nobody where the version is another class of this service', () => {
    const second = event({ name: 'orders.placed', version: 2, channel: 'orders' });
    const read = new Service()
      .knows(second)
      .reader([placed])
      .identify(delivery('orders.placed', { ce_dataversion: '2' }));
    expect(read.kind).toBe('unwanted');
  });
});

describe('a message that cannot be identified', () => {
  it('is too large', () => {
    const read = new Service().reader([placed]).identify(delivery('orders.placed', {}, { body: Buffer.alloc(101) }));
    expect(failureOf(read)).toMatchObject({
      reason: 'too-large',
      code: 'EVT_BODY_TOO_LARGE',
      message: 'The body has 101 bytes, 100 are allowed: raise maxBodyBytes in EventingModule.',
    });
    expect(
      new Service().reader([placed]).identify(delivery('orders.placed', {}, { body: Buffer.alloc(100) })).kind,
    ).toBe('wanted');
  });

  it('is undecodable', () => {
    const read = new Service().reader([placed]).identify(new ScriptedDelivery('orders', { headers: {} }, 1));
    expect(failureOf(read)).toMatchObject({ reason: 'undecodable', code: 'EVT_UNDECODABLE', known: false });
  });

  it("is undecodable where a wire format of somebody's own throws anything", () => {
    const wire = {
      name: 'broken',
      encode: () => ({}),
      decode: () => {
        throw new RangeError('offset out of bounds');
      },
    };
    const read = new Service().reader([event({ name: 'a', channel: 'orders', wire })]).identify(delivery('a'));
    expect(failureOf(read)).toMatchObject({
      reason: 'undecodable',
      code: 'EVT_UNDECODABLE',
      message: 'The message cannot be read: offset out of bounds.',
    });
  });

  it('is of a newer version', () => {
    const read = new Service().reader([placed]).identify(delivery('orders.placed', { ce_dataversion: '4' }));
    expect(failureOf(read)).toMatchObject({
      reason: 'unknown-version',
      code: 'EVT_UNKNOWN_VERSION',
      message: '"orders.placed" came in version 4, known are 1: add an upcaster, or a class of that version.',
      known: true,
    });
  });

  it('is of an older version and a step is missing', () => {
    const third = event({ name: 'orders.placed', version: 3, channel: 'orders', upcast: { 2: (v2) => v2 } });
    const reader = new Service().reader([third]);
    expect(failureOf(reader.identify(delivery('orders.placed')))).toMatchObject({ code: 'EVT_UNKNOWN_VERSION' });
    expect(reader.identify(delivery('orders.placed', { ce_dataversion: '2' })).kind).toBe('wanted');
  });

  it('came on a channel that nobody listens to', () => {
    const read = new Service().reader([placed]).identify(new ScriptedDelivery('mail', {}, 1));
    expect(failureOf(read)).toMatchObject({ code: 'EVT_UNDECODABLE', message: expect.stringContaining('"mail"') });
  });
});

describe('a message of a name that nobody declared', () => {
  const unknown = delivery('orders.shipped');

  it('is a failure where the channel has one event', () => {
    expect(failureOf(new Service().reader([placed]).identify(unknown))).toMatchObject({
      reason: 'unknown-event',
      code: 'EVT_UNKNOWN_EVENT',
      message: expect.stringContaining('"orders.shipped" came on the channel "orders", where "orders.placed" lives'),
    });
  });

  it('is passed over where the channel has several', () => {
    expect(new Service().knows(cancelled).reader([placed]).identify(unknown).kind).toBe('unwanted');
  });

  it('is what the listener says, either way', () => {
    expect(new Service().reader([placed], { unknown: 'skip' }).identify(unknown).kind).toBe('unwanted');
    const strict = new Service().knows(cancelled).reader([placed], { unknown: 'dead-letter' });
    expect(failureOf(strict.identify(unknown))).toMatchObject({ reason: 'unknown-event' });
    expect(strict.identify(delivery('orders.cancelled')).kind).toBe('unwanted');
  });

  it('is not quoted at length', () => {
    expect(failureOf(new Service().reader([placed]).identify(delivery('x'.repeat(5000)))).message.length).toBeLessThan(
      400,
    );
  });
});

describe('the body', () => {
  function bodyOf(options: EventOptions, text: string | Uint8Array, more = {}): object | Promise<object> {
    const service = new Service();
    const type = event({ name: 'orders.placed', channel: 'orders', ...options });
    const reader = service.reader([type]);
    const read = reader.identify(delivery('orders.placed', more, { body: Buffer.from(text) }));
    if (read.kind !== 'wanted') throw new Error(`it was ${read.kind}`);
    return reader.body(read.message, read.event);
  }

  it('is an instance of the event class', () => {
    const body = bodyOf({}, '{"id":1}');
    expect(body).toEqual({ id: 1 });
    expect(body.constructor.name).toBe('Given');
  });

  it('is upcast step by step, before it is validated', () => {
    const upcast: NonNullable<EventOptions['upcast']> = {
      1: ({ name }) => ({ first: name }),
      2: ({ first }) => ({ first, last: 'unknown' }),
    };
    expect(bodyOf({ version: 3, upcast }, '{"name":"Ada"}')).toEqual({ first: 'Ada', last: 'unknown' });
    expect(bodyOf({ version: 3, upcast }, '{"first":"Ada"}', { ce_dataversion: '2' })).toEqual({
      first: 'Ada',
      last: 'unknown',
    });
  });

  it.each([
    ['is not JSON', '{', {}, 'undecodable', 'EVT_UNDECODABLE', /The body of "orders\.placed" cannot be read: /],
    [
      'is not UTF-8',
      Buffer.from([0x22, 0xff, 0x22]),
      {},
      'undecodable',
      'EVT_UNDECODABLE',
      /the bytes are not UTF-8\.$/,
    ],
    ['has a __proto__ key', '{"__proto__":1}', {}, 'undecodable', 'EVT_UNDECODABLE', /forbidden prototype property\.$/],
    ['is no object', '7', {}, 'invalid', 'EVT_INVALID_BODY', /is not a valid Given: it is a number, not an object/],
    [
      'breaks an upcaster',
      '{}',
      {
        version: 2,
        upcast: {
          1: () => {
            throw new Error('no name');
          },
        },
      },
      'undecodable',
      'EVT_UNDECODABLE',
      /cannot be read: no name\.$/,
    ],
  ])('fails, coded, when it %s', (_what, text, options, reason, code, message) => {
    const failure = bodyOf(options, text) as Failure;
    expect(failure).toBeInstanceOf(Failure);
    expect(failure).toMatchObject({ reason, final: true, error: { code } });
    expect(failure.error.message).toMatch(message);
  });

  it('fails, coded, where a validator throws or rejects', async () => {
    const schema = (validate: () => never | Promise<never>): EventOptions => ({
      schema: { '~standard': { version: 1, vendor: 'own', validate } },
    });
    const thrown = bodyOf(
      schema(() => {
        throw new Error('the rule broke');
      }),
      '{}',
    );
    const rejected = await bodyOf(
      schema(async () => {
        await turn();
        throw new Error('the database is away');
      }),
      '{}',
    );
    for (const [failure, why] of [
      [thrown, 'the rule broke'],
      [rejected, 'the database is away'],
    ] as const)
      expect(failure).toMatchObject({
        error: { code: 'EVT_INVALID_BODY', message: `The body of "orders.placed" could not be validated: ${why}.` },
      });
  });
});
