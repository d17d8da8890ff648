import { describe, expect, it } from 'vitest';
import { Event } from '../declare/event.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import { ABLE } from '../scripted.provider.fixture.js';
import { EventRegistry } from '../registry/event.registry.js';
import { describeListener } from '../registry/listener.plan.js';
import type { Abilities } from './abilities.js';
import { eventRefusals, isTransactional, refusals } from './ability.check.js';

@Event({ key: 'id' })
class Keyed {}
@Event()
class Plain {}
@Event({ durable: false })
class Fleeting {}

const registry = new EventRegistry();
function refused(options: ListenerOptions, abilities: Partial<Abilities>, type: typeof Keyed = Plain): string[] {
  const listener = describeListener({
    label: 'SendReceipt',
    options,
    events: [registry.describe(type)],
    invoke: () => undefined,
  });
  const found = [...refusals(listener, 'carrier-pigeon', { ...ABLE, ...abilities })];
  expect(found.every(({ code }) => code === 'EVT_UNSUPPORTED')).toBe(true);
  return found.map(({ message }) => message);
}

describe('what a listener asks for', () => {
  it('is refused by nobody who can do it', () => {
    expect(refused({ perProcess: true }, {}, Keyed)).toEqual([]);
    expect(refused({ from: 'earliest', guarantee: 'exactly-once' }, { transactions: true }, Keyed)).toEqual([]);
  });

  it('is had with sequenced dead letters in a shared store; exactly once beside them by an inbox alone', () => {
    const options = { deadLetters: 'sequenced', guarantee: 'exactly-once' } as const;
    const abilities = { ...ABLE, sequencedDeadLetters: true, transactions: true };
    const listener = describeListener({
      ...{ label: 'SendReceipt', options, events: [registry.describe(Keyed)], invoke: () => undefined },
    });
    expect([...refusals(listener, 'carrier-pigeon', abilities, true)]).toEqual([]);
    expect([...refusals(listener, 'carrier-pigeon', abilities)].map(({ message }) => message)).toEqual([
      expect.stringContaining("deadLetters: 'sequenced' with guarantee: 'exactly-once'"),
    ]);
    expect(isTransactional(listener, abilities)).toBe(false);
    expect(isTransactional({ ...listener, deadLetters: 'single' }, abilities)).toBe(true);
  });

  it.each<[string, ListenerOptions, Partial<Abilities>, string]>([
    [
      'a copy for each process',
      { perProcess: true },
      { perProcess: false },
      'asks for perProcess, which carrier-pigeon cannot give: leave it out',
    ],
    [
      'to outlive the process',
      {},
      { durable: false },
      'asks for durable: true, which carrier-pigeon cannot give: set durable: false',
    ],
    [
      'the past',
      { from: 'earliest' },
      { replay: false },
      'asks for a start in the past (from), which carrier-pigeon cannot give: leave from out',
    ],
    ['the past by time', { from: { time: 1 } }, { replay: false }, 'a start in the past'],
    [
      'exactly once',
      { guarantee: 'exactly-once' },
      { transactions: false },
      "asks for guarantee: 'exactly-once', which carrier-pigeon cannot give: give EventingModule an inbox",
    ],
  ])('is refused where the provider cannot: %s', (_what, options, abilities, text) => {
    const [message, ...more] = refused(options, abilities);
    expect(more).toEqual([]);
    expect(message).toContain(`SendReceipt `);
    expect(message).toContain(text);
  });

  it('cannot be sequenced dead letters where no store is shared, whatever else is asked', () => {
    const text =
      "asks for deadLetters: 'sequenced', which carrier-pigeon cannot give: that takes dead letters in a store";
    expect(refused({ deadLetters: 'sequenced' }, {}, Keyed)).toEqual([expect.stringContaining(text)]);
  });

  it('may be less than the provider gives', () => {
    expect(refused({ durable: false }, { durable: 'process' })).toEqual([]);
    expect(refused({}, { durable: 'process' })).toEqual([]);
    expect(refused({ order: 'process' }, { order: 'cluster' })).toEqual([]);
  });

  it.each([
    ['cluster', 'none'],
    ['cluster', 'process'],
    ['process', 'none'],
  ] as const)('cannot be order up to %s where it is kept up to %s', (order, kept) => {
    const text = `asks for order: '${order}', which carrier-pigeon cannot give: it keeps '${kept}'; set order: '${kept}'`;
    expect(refused({ order }, { order: kept }, Keyed)).toEqual([expect.stringContaining(text)]);
  });

  it.each([
    ['cluster', 'cluster'],
    ['process', 'cluster'],
    ['process', 'process'],
    ['none', 'none'],
  ] as const)('can be order up to %s where it is kept up to %s', (order, kept) => {
    expect(refused({ order }, { order: kept }, Keyed)).toEqual([]);
  });

  it('is refused all at once', () => {
    const nothing = { order: 'none', durable: false, replay: false } as const;
    expect(refused({ from: 'earliest', guarantee: 'exactly-once' }, nothing, Keyed)).toHaveLength(4);
  });
});

describe('what an event asks for', () => {
  it('is to outlive the broker, unless it says otherwise', () => {
    const none = { ...ABLE, durable: false };
    expect([...eventRefusals(registry.describe(Plain), 'carrier-pigeon', none)]).toMatchObject([
      {
        code: 'EVT_UNSUPPORTED',
        message: 'Plain is durable, which carrier-pigeon cannot give: set durable: false, or change its provider.',
      },
    ]);
    expect([...eventRefusals(registry.describe(Fleeting), 'carrier-pigeon', none)]).toEqual([]);
    expect([...eventRefusals(registry.describe(Plain), 'carrier-pigeon', { ...ABLE, durable: 'process' })]).toEqual([]);
  });
});
