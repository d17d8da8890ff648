import { EventListener, type BatchEventListener } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { OrderPlaced, ReceiptSent, start } from '../kit/kit.fixture.js';
import { testEventing } from '../kit/test.eventing.js';
import { DelayAtRandom } from './delay-at-random.pipeline.js';
import { DuplicateAtRandom } from './duplicate-at-random.pipeline.js';
import { FailAtRandom } from './fail-at-random.pipeline.js';

@EventListener(OrderPlaced, { retry: { attempts: 6 } })
class SendReceipt {
  readonly orders: string[] = [];
  on({ orderId }: OrderPlaced): void {
    this.orders.push(orderId);
  }
}
@EventListener(ReceiptSent, { batch: { size: 4 } })
class Bulk implements BatchEventListener<ReceiptSent> {
  onBatch(): void {}
}

const orders = Array.from({ length: 40 }, (_, index) => `${index % 7}`);

/** How often each event was tried, by listener, key and place within the key. */
async function attemptsWith(seed: number, rate: number): Promise<number[]> {
  const eventing = testEventing();
  const { events } = await start(eventing, [SendReceipt, FailAtRandom.with({ seed, rate })]);
  await Promise.all(orders.map((orderId) => events.sendEvent(OrderPlaced, { orderId })));
  await eventing.settled();
  const handled = eventing.delivered(SendReceipt);
  expect(handled).toHaveLength(40);
  return handled
    .map(({ envelope, attempts }) => ({ key: envelope?.key ?? '', count: attempts.length }))
    .sort((a, b) => a.key.localeCompare(b.key))
    .map(({ count }) => count);
}

describe('FailAtRandom', () => {
  it('fails the same attempts for the same seed, others for another, none at rate 0', async () => {
    const [first, again, other, none] = [
      await attemptsWith(7, 0.3),
      await attemptsWith(7, 0.3),
      await attemptsWith(8, 0.3),
      await attemptsWith(7, 0),
    ];
    expect(first).toEqual(again);
    expect(first).not.toEqual(other);
    expect(new Set(none)).toEqual(new Set([1]));
    const tries = first.reduce((sum, count) => sum + count, 0);
    expect(tries).toBeGreaterThan(46);
    expect(tries).toBeLessThan(80);
  });

  it('fails after the listener, which then does its work again; only those that are named; coded', async () => {
    const eventing = testEventing();
    const chaos = FailAtRandom.with({ seed: 1, rate: 1, when: 'after', only: ['SendReceipt'] });
    const { module, events } = await start(eventing, [SendReceipt, Bulk, chaos]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await events.sendEvent(ReceiptSent, { orderId: '1' });
    await eventing.settled();
    expect(module.get(SendReceipt).orders).toEqual(Array.from({ length: 6 }, () => '1'));
    expect(eventing.deadLettered(SendReceipt)).toMatchObject([{ error: { code: 'EVT_CHAOS' } }]);
    expect(eventing.handled(Bulk)).toHaveLength(1);
  });

  it('fails batches, whose events are then handled alone', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [Bulk, FailAtRandom.with({ seed: 3, rate: 0.4 })]);
    await Promise.all(orders.map((orderId) => events.sendEvent(ReceiptSent, { orderId })));
    await eventing.settled();
    expect(eventing.delivered(Bulk).every(({ outcome }) => outcome !== 'open')).toBe(true);
    expect(eventing.handled(Bulk).some(({ attempts }) => attempts.length > 1)).toBe(true);
  });

  it.each([
    [{ seed: 0.5, rate: 1 }, /seed 0.5/],
    [{ seed: 1, rate: 2 }, /rate 2/],
    [{ seed: 1, rate: Number.NaN }, /rate NaN/],
  ])('refuses %j', (options, text) => {
    expect(() => new FailAtRandom(options)).toThrow(text);
    expect(() => new FailAtRandom(options)).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
  });
});

describe('DelayAtRandom', () => {
  it('has keys change places, and never the events of one key', async () => {
    const eventing = testEventing();
    const chaos = DelayAtRandom.with({ seed: 5, rate: 0.7, atMost: 2000, clock: eventing.clock });
    const { events } = await start(eventing, [SendReceipt, Bulk, chaos]);
    const begin = eventing.clock.now();
    const sent = await Promise.all(orders.map((orderId) => events.sendEvent(OrderPlaced, { orderId })));
    await events.sendEvent(ReceiptSent, { orderId: '1' });
    await eventing.settled();
    const ids = (key?: string) =>
      eventing
        .handled(SendReceipt)
        .flatMap(({ envelope }) => (envelope.key === (key ?? envelope.key) ? envelope.id : []));
    for (const key of new Set(orders))
      expect(ids(key)).toEqual(sent.filter((one) => one.key === key).map(({ id }) => id));
    expect(ids()).not.toEqual(sent.map(({ id }) => id));
    expect(eventing.clock.now()).toBeGreaterThan(begin + 1000);
    expect(eventing.handled().every(({ attempts }) => attempts.length === 1)).toBe(true);
  });

  it('stops waiting when the listener is told to stop', async () => {
    const eventing = testEventing({ timeout: 20 });
    const chaos = DelayAtRandom.with({ seed: 5, rate: 1, atMost: 1e9, clock: eventing.clock });
    const { module, events } = await start(eventing, [SendReceipt, chaos]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await expect(eventing.settled()).rejects.toMatchObject({ code: 'EVT_NOT_SETTLED' });
    await eventing.clock.advance(60_000);
    expect(module.get(SendReceipt).orders).toEqual(['1']);
    expect(() => new DelayAtRandom({ seed: 1, rate: 1, atMost: -1 })).toThrow(/atMost -1/);
  });
});

describe('DuplicateAtRandom', () => {
  it('sends twice, right behind each other, with one id and all that goes with it', async () => {
    const eventing = testEventing();
    const { module, events } = await start(eventing, [SendReceipt, DuplicateAtRandom.with({ seed: 1, rate: 1 })]);
    const { id } = await events.sendEvent(
      OrderPlaced,
      { orderId: '1' },
      { headers: { tenant: 't' }, correlationId: 'story', key: 'k', expiresIn: 1000 },
    );
    await events.sendEvent(OrderPlaced, { orderId: '2' }, { key: 'k' });
    await eventing.settled();
    expect(module.get(SendReceipt).orders).toEqual(['1', '1', '2', '2']);
    const [original, copy] = eventing.published(OrderPlaced);
    expect(copy).toEqual(original);
    expect(copy).toMatchObject({ id, key: 'k', correlationId: 'story' });
    expect(copy?.headers.get('tenant')).toBe('t');
    expect(copy?.expiresAt).toBe((copy?.time ?? 0) + 1000);
  });

  it('sends as many as its rate says, and what cannot be sent fails once, for its sender', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [DuplicateAtRandom.with({ seed: 2, rate: 0.5, only: ['orders.placed'] })]);
    await Promise.all(orders.map((orderId) => events.sendEvent(OrderPlaced, { orderId })));
    await events.sendEvent(ReceiptSent, { orderId: '1' });
    await eventing.settled();
    const count = eventing.published(OrderPlaced).length;
    expect(count).toBeGreaterThan(48);
    expect(count).toBeLessThan(72);
    expect(eventing.published(ReceiptSent)).toHaveLength(1);
    const wrong = { orderId: '1', big: 1n };
    await expect(events.sendEvent(OrderPlaced, wrong)).rejects.toMatchObject({ code: 'EVT_UNSERIALIZABLE' });
  });
});
