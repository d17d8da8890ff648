import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import { refusalOf } from '../kernel.fixture.js';
import { json } from '../wire/json.serializer.js';
import { raw } from '../wire/raw.wire-format.js';
import { EventRegistry } from './event.registry.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}
@Event({ name: 'orders.placed', version: 2, channel: 'orders', key: 'orderId' })
class OrderPlacedV2 {
  orderId!: string;
}
@Event()
class Ping {}

const event = (options: Parameters<typeof Event>[0] = {}): EventClass => {
  @Event(options)
  class Given {}
  return Given;
};

describe('EventRegistry', () => {
  it('describes a class, with every default resolved', () => {
    const described = new EventRegistry().describe(Ping);
    expect(described).toMatchObject({
      type: Ping,
      name: 'Ping',
      version: 1,
      channel: 'Ping',
      provider: 'default',
      durable: true,
      keyed: false,
      serializer: json,
      upcast: {},
    });
    expect(described.wire.name).toBe('cloudevents');
    expect(described.keyOf({})).toBeUndefined();
  });

  it('makes a class out once', () => {
    const registry = new EventRegistry();
    expect(registry.describe(Ping)).toBe(registry.describe(Ping));
    expect(registry.all()).toHaveLength(1);
  });

  it('finds events by name and version, and by channel', () => {
    const registry = new EventRegistry();
    const [two, one, ping] = [
      registry.describe(OrderPlacedV2),
      registry.describe(OrderPlaced),
      registry.describe(Ping),
    ];
    expect(registry.find('orders.placed', 1)).toBe(one);
    expect(registry.find('orders.placed', 2)).toBe(two);
    expect(registry.find('orders.placed', 3)).toBeUndefined();
    expect(registry.find('Ping', 1)).toBe(ping);
    expect(registry.versions('orders.placed')).toEqual([1, 2]);
    expect(registry.versions('nothing')).toEqual([]);
    expect(registry.onChannel('orders')).toEqual([two, one]);
    expect(registry.onChannel('nothing')).toEqual([]);
    expect(registry.all()).toEqual([two, one, ping]);
  });

  it('knows nothing of what another one knows', () => {
    new EventRegistry().describe(Ping);
    expect(new EventRegistry().all()).toEqual([]);
  });

  it.each([
    [class Undecorated {}, 'Undecorated is not an event'],
    [Object, 'Object is not an event'],
    [class extends OrderPlaced {}, 'An anonymous class is not an event'],
    [undefined as unknown as EventClass, 'undefined is not an event'],
    [null as unknown as EventClass, 'null is not an event'],
  ])('refuses %s, which is not decorated itself', (type, text) => {
    expect(refusalOf(() => new EventRegistry().describe(type))).toMatchObject({
      code: 'EVT_NOT_AN_EVENT',
      message: expect.stringContaining(`${text}: decorate the class with @Event()`),
    });
  });

  it('refuses two classes of one name and version, naming both, and keeps the first', () => {
    const registry = new EventRegistry();
    registry.describe(OrderPlaced);
    @Event({ name: 'orders.placed' })
    class Impostor {}
    expect(refusalOf(() => registry.describe(Impostor))).toMatchObject({
      code: 'EVT_DUPLICATE_EVENT',
      message: 'Impostor and OrderPlaced are both "orders.placed" version 1: give one of them another name or version.',
    });
    expect(registry.find('orders.placed', 1)?.type).toBe(OrderPlaced);
    expect(registry.all()).toHaveLength(1);
  });

  it.each([
    ['provider', { provider: 'audit' }],
    ['durable', { durable: false }],
    ['wire', { wire: raw({ event: 'orders.cancelled' }) }],
  ])('refuses events of one channel that differ in "%s"', (field, options) => {
    const registry = new EventRegistry();
    registry.describe(OrderPlaced);
    @Event({ name: 'orders.cancelled', channel: 'orders', ...options })
    class OrderCancelled {}
    expect(refusalOf(() => registry.describe(OrderCancelled))).toMatchObject({
      code: 'EVT_CHANNEL_CONFLICT',
      message: expect.stringContaining(
        `OrderCancelled and OrderPlaced share the channel "orders" and differ in "${field}"`,
      ),
    });
    expect(registry.onChannel('orders')).toHaveLength(1);
  });

  it.each([
    [{ name: '' }, 'name "" must be 1 to 200 of'],
    [{ name: 'a b' }, 'name "a b"'],
    [{ name: '.a' }, 'name ".a"'],
    [{ name: 'x'.repeat(201) }, 'must be 1 to 200 of'],
    [{ channel: 'a/b' }, 'channel "a/b" must be 1 to 200 of'],
    [{ version: 0 }, 'version 0 must be a positive integer'],
    [{ version: 1.5 }, 'version 1.5'],
    [{ version: Number.NaN }, 'version NaN'],
  ])('refuses @Event(%j), naming class and option', (options, text) => {
    const error = refusalOf(() => new EventRegistry().describe(event(options)));
    expect(error.code).toBe('EVT_INVALID_EVENT_OPTIONS');
    expect(error.message).toContain(`@Event() of Given: `);
    expect(error.message).toContain(text);
  });
});

describe('the key of an event', () => {
  const keyOf = (key: NonNullable<Parameters<typeof Event>[0]>['key'], body: object): string | undefined =>
    new EventRegistry().describe(event({ key })).keyOf(body);

  it.each([
    ['a field', 'id', { id: 'k' }, 'k'],
    ['a number', 'id', { id: 0 }, '0'],
    ['a big integer', 'id', { id: 12n }, '12'],
    ['the empty text', 'id', { id: '' }, ''],
    ['what a function says', (body: { a: { b: string } }) => body.a.b, { a: { b: 'deep' } }, 'deep'],
    ['nothing, where the field is missing', 'id', {}, undefined],
    ['nothing, where the field is null', 'id', { id: null }, undefined],
  ])('is %s', (_what, key, body, expected) => {
    expect(keyOf(key as 'id', body)).toBe(expected);
  });

  it.each([[{ id: {} }], [{ id: true }], [{ id: ['k'] }]])('cannot be %j', (body) => {
    expect(refusalOf(() => keyOf('id', body))).toMatchObject({
      code: 'EVT_INVALID_EVENT',
      message: expect.stringContaining('The key of Given is neither text nor a number'),
    });
  });

  it('cannot be what cannot be read: the sender is told which event, not only that something is undefined', () => {
    const error = refusalOf(() => keyOf((body: { a: { b: string } }) => body.a.b, {}));
    expect(error).toMatchObject({
      code: 'EVT_INVALID_EVENT',
      message: expect.stringContaining('The key of Given cannot be read'),
    });
    expect(error.cause).toBeInstanceOf(TypeError);
  });
});
