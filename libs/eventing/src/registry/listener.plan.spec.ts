import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import type { EventingError } from '../errors/eventing.error.js';
import { refusalOf } from '../kernel.fixture.js';
import { EventRegistry } from './event.registry.js';
import type { ListenerDescriptor } from './listener.descriptor.js';
import { describeListener, planSubscriptions, type SubscriptionPlan } from './listener.plan.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class Placed {}
@Event({ name: 'orders.cancelled', channel: 'orders', key: 'id' })
class Cancelled {}
@Event({ name: 'mail.sent', channel: 'mail' })
class Mail {}
@Event({ name: 'audit.written', provider: 'audit' })
class Audit {}

const registry = new EventRegistry();
function listener(label: string, events: EventClass | EventClass[], options: ListenerOptions = {}): ListenerDescriptor {
  return describeListener({
    label,
    options,
    events: [events].flat().map((type) => registry.describe(type)),
    invoke: () => undefined,
  });
}
function plan(...listeners: ListenerDescriptor[]): { plans: SubscriptionPlan[]; problems: EventingError[] } {
  const problems: EventingError[] = [];
  return { plans: planSubscriptions(listeners, problems), problems };
}

describe('the options of a listener', () => {
  it('have defaults that are safe', () => {
    const described = listener('SendReceipt', Placed);
    expect(described).toMatchObject({
      label: 'SendReceipt',
      name: 'SendReceipt',
      group: 'SendReceipt',
      provider: 'default',
      perProcess: false,
      durable: true,
      from: 'first-subscription',
      concurrency: 16,
      window: 256,
      timeout: 60_000,
      timeoutGrace: 30_000,
      guarantee: 'at-least-once',
      order: 'cluster',
      unknown: undefined,
    });
    expect(described.retry).toMatchObject({ attempts: 5, move: undefined });
  });

  it('ask for order only where an event has a key', () => {
    expect(listener('A', Mail).order).toBe('none');
    expect(listener('A', [Mail, Placed]).order).toBe('cluster');
    expect(listener('A', Placed, { order: 'none' }).order).toBe('none');
  });

  it('do not make a copy for each process durable', () => {
    expect(listener('A', Placed, { perProcess: true }).durable).toBe(false);
  });

  it.each<[ListenerOptions, string]>([
    [{ name: 'a b' }, 'name "a b" must be 1 to 200 of'],
    [{ group: '' }, 'group "" must be 1 to 200 of'],
    [{ concurrency: 0 }, 'concurrency 0 must be a whole number of at least 1'],
    [{ concurrency: 1.5 }, 'concurrency 1.5'],
    [{ window: Number.POSITIVE_INFINITY }, 'window Infinity'],
    [{ timeout: -1 }, 'timeout -1'],
    [{ timeoutGrace: 0 }, 'timeoutGrace 0'],
    [{ perProcess: true, group: 'g' }, 'perProcess and group exclude each other'],
    [{ perProcess: true, durable: true }, 'perProcess subscriptions cannot be durable'],
    [{ retry: { move: true } }, "retry.move would break the order it asks for (cluster): set order: 'none'"],
    [
      { retry: { move: true }, order: 'none', guarantee: 'exactly-once' },
      'retry.move and exactly-once exclude each other',
    ],
    [{ perProcess: true, guarantee: 'exactly-once' }, 'perProcess and exactly-once exclude each other'],
    [{ retry: { attempts: 0 } }, 'retry.attempts cannot be 0'],
    [{ order: 'total' as 'none' }, 'order "total" must be one of none, process, cluster'],
    [
      { guarantee: 'always' as 'at-least-once' },
      'guarantee "always" must be one of at-least-once, at-most-once, exactly-once',
    ],
    [{ unknown: 'drop' as 'skip' }, 'unknown "drop" must be one of skip, dead-letter'],
    [{ from: 'latest' as 'earliest' }, 'from "latest" must be one of first-subscription, earliest'],
    [{ deadLetters: 'kept' as 'single' }, 'deadLetters "kept" must be one of single, sequenced'],
    [{ deadLetters: 'sequenced', order: 'process' }, "deadLetters: 'sequenced' needs order: 'cluster', not 'process'"],
    [{ deadLetters: 'sequenced', durable: false }, "deadLetters: 'sequenced' needs a durable subscription"],
    [{ deadLetters: 'sequenced', perProcess: true }, "deadLetters: 'sequenced' needs a durable subscription"],
    [{ deadLetters: 'sequenced', guarantee: 'at-most-once' }, "'sequenced' and at-most-once exclude each other"],
    [{ deadLetters: 'sequenced', batch: {} }, "deadLetters: 'sequenced' and batch exclude each other"],
    [{ from: { time: Number.NaN } }, 'from.time NaN must be milliseconds since 1970'],
  ])('are refused when they are %j, naming listener and option', (options, text) => {
    const error = refusalOf(() => listener('SendReceipt', Placed, options));
    expect(error.code).toBe('EVT_INVALID_LISTENER_OPTIONS');
    expect(error.message).toContain('SendReceipt: ');
    expect(error.message).toContain(text);
  });

  it('are sequenced dead letters only where an event has a key', () => {
    expect(listener('A', [Mail, Placed], { deadLetters: 'sequenced' }).deadLetters).toBe('sequenced');
    expect(listener('A', Placed).deadLetters).toBe('single');
    const { message } = refusalOf(() => listener('A', Mail, { deadLetters: 'sequenced' }));
    expect(message).toContain("deadLetters: 'sequenced' keeps the order of keys, and none of its events has one");
  });

  it('are refused without an event, and with events of two providers', () => {
    expect(refusalOf(() => listener('A', [])).message).toContain('A: it listens to no event');
    expect(refusalOf(() => listener('A', [Placed, Audit])).message).toContain(
      'A: Placed and Audit live on different providers: write a listener for each',
    );
  });
});

describe('subscriptions', () => {
  it('are one for each listener', () => {
    const { plans, problems } = plan(listener('A', Placed), listener('B', Placed));
    expect(plans.map(({ name, channels, listeners }) => [name, channels, listeners.length])).toEqual([
      ['A', ['orders'], 1],
      ['B', ['orders'], 1],
    ]);
    expect(problems).toEqual([]);
  });

  it('name a channel once, however many of its events are listened to', () => {
    expect(plan(listener('A', [Placed, Mail, Cancelled])).plans[0]?.channels).toEqual(['orders', 'mail']);
  });

  it('are shared by listeners that name one group', () => {
    const { plans, problems } = plan(
      listener('A', Placed, { group: 'g' }),
      listener('B', Cancelled, { group: 'g' }),
      listener('C', Audit, { group: 'g' }),
    );
    expect(plans.map(({ provider, name, listeners }) => [provider, name, listeners.map(({ label }) => label)])).toEqual(
      [
        ['default', 'g', ['A', 'B']],
        ['audit', 'g', ['C']],
      ],
    );
    expect(problems).toEqual([]);
  });

  it('are refused where two listeners have one name', () => {
    const { problems } = plan(listener('A', Placed, { name: 'x' }), listener('B', Mail, { name: 'x' }));
    expect(problems).toMatchObject([
      { code: 'EVT_DUPLICATE_LISTENER', message: expect.stringContaining('A and B are both named "x"') },
    ]);
  });

  it.each<[string, ListenerOptions]>([
    ['durable', { durable: false }],
    ['concurrency', { concurrency: 1 }],
    ['window', { window: 1 }],
    ['order', { order: 'process' }],
    ['guarantee', { guarantee: 'at-most-once' }],
    ['unknown', { unknown: 'dead-letter' }],
    ['from', { from: 'earliest' }],
    ['from', { from: { time: 1 } }],
  ])('are refused where the listeners of a group differ in "%s"', (option, options) => {
    const { problems } = plan(
      listener('A', Placed, { group: 'g' }),
      listener('B', Cancelled, { group: 'g', ...options }),
    );
    expect(problems).toMatchObject([
      {
        code: 'EVT_INVALID_LISTENER_OPTIONS',
        message: expect.stringContaining(`B shares the group "g" with A, and they differ in "${option}"`),
      },
    ]);
  });

  it('are shared where the positions to begin at say the same', () => {
    const options: ListenerOptions = { group: 'g', from: { positions: { 'orders/0': '1' } } };
    const same: ListenerOptions = { group: 'g', from: { positions: { 'orders/0': '1' } } };
    expect(plan(listener('A', Placed, options), listener('B', Cancelled, same)).problems).toEqual([]);
  });

  it('are refused where two listeners of a group listen to one event: only one could get it', () => {
    const { problems } = plan(
      listener('A', [Placed, Cancelled], { group: 'g' }),
      listener('B', Placed, { group: 'g' }),
    );
    expect(problems).toMatchObject([
      { code: 'EVT_INVALID_LISTENER_OPTIONS', message: expect.stringContaining('both listen to Placed') },
    ]);
  });

  it('are refused where a copy for each process would share a group by its name', () => {
    const { problems } = plan(
      listener('A', Placed, { perProcess: true }),
      listener('B', Mail, { group: 'A', durable: false, order: 'cluster' }),
    );
    expect(problems.map(({ message }) => message)).toEqual([
      expect.stringContaining('perProcess listeners cannot share one'),
    ]);
  });
});
