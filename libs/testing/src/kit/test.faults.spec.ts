import { type Envelope, EventListener, memory } from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { failure, OrderPlaced, ReceiptSent, start } from './kit.fixture.js';
import { testEventing } from './test.eventing.js';

@EventListener(OrderPlaced, { retry: { attempts: 3 } })
class SendReceipt {
  readonly calls: string[] = [];
  on({ orderId }: OrderPlaced, { attempt }: Envelope): void {
    this.calls.push(`${orderId}/${attempt}`);
  }
}
@EventListener(OrderPlaced)
class Audit {
  on(): void {}
}

describe('faults', () => {
  it('fail the next attempts of one listener, as if it had thrown', async () => {
    const eventing = testEventing();
    const { module, events } = await start(eventing, [SendReceipt, Audit]);
    eventing.faults.failNext(SendReceipt, new Error('no mail server'), { times: 2 });
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(module.get(SendReceipt).calls).toEqual(['1/3']);
    expect(eventing.handled(SendReceipt)[0]?.attempts).toMatchObject([
      { outcome: 'failed', error: { message: 'no mail server' } },
      { outcome: 'failed' },
      { outcome: 'succeeded' },
    ]);
    expect(eventing.handled(Audit)[0]?.attempts).toHaveLength(1);
    eventing.faults.failNext('SendReceipt', undefined, { times: Infinity });
    await events.sendEvent(OrderPlaced, { orderId: '2' });
    await eventing.settled();
    expect(eventing.deadLettered(SendReceipt)).toMatchObject([{ error: { code: 'EVT_CHAOS' } }]);
    eventing.faults.clear();
    await events.sendEvent(OrderPlaced, { orderId: '3' });
    await eventing.settled();
    expect(eventing.handled(SendReceipt)).toHaveLength(2);
  });

  it('refuse sends of one event, so many times, or those that are picked', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [SendReceipt]);
    const outcomes = async (...orders: string[]): Promise<boolean[]> => {
      const sent = await Promise.allSettled(orders.map((orderId) => events.sendEvent(OrderPlaced, { orderId })));
      return sent.map(({ status }) => status === 'fulfilled');
    };
    eventing.faults.rejectNext(OrderPlaced, { times: 2 });
    await events.sendEvent(ReceiptSent, { orderId: '0' });
    expect(await outcomes('1', '2', '3')).toEqual([false, false, true]);
    eventing.faults.rejectNext({ where: ({ key }) => key === '5' });
    expect(await outcomes('4', '5', '5')).toEqual([true, false, true]);
    eventing.faults.rejectNext(OrderPlaced, { where: ({ key }) => key === '7', times: Infinity });
    expect(await outcomes('6', '7', '7')).toEqual([true, false, false]);
    expect(() => eventing.faults.rejectNext(Audit)).toThrow(expect.objectContaining({ code: 'EVT_NOT_AN_EVENT' }));
  });

  it('count over all brokers together', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [], { providers: { other: memory() } });
    eventing.faults.rejectNext();
    expect(await failure(events.sendEvent(ReceiptSent, { orderId: '1' }))).toMatchObject({
      code: 'EVT_PUBLISH_FAILED',
    });
    await events.sendEvent(ReceiptSent, { orderId: '1' });
  });

  it('deliver twice: two deliveries of one event', async () => {
    const eventing = testEventing();
    const { module, events } = await start(eventing, [SendReceipt]);
    eventing.faults.duplicateNext(OrderPlaced);
    const { id } = await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(module.get(SendReceipt).calls).toEqual(['1/1', '1/1']);
    expect(eventing.handled(SendReceipt).map(({ envelope }) => envelope.id)).toEqual([id, id]);
    expect(eventing.published(OrderPlaced)).toHaveLength(1);
  });

  it('take the broker away: what was being handled comes again, as one delivery', async () => {
    let release!: () => void;
    const gate = new Promise<void>((resolve) => (release = resolve));
    @EventListener(OrderPlaced)
    class Slow {
      on(): Promise<void> {
        return gate;
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Slow]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.clock.advance(0);
    eventing.faults.disconnect();
    release();
    await eventing.clock.advance(0);
    expect(eventing.delivered(Slow)).toMatchObject([{ outcome: 'open' }]);
    eventing.faults.connect();
    await eventing.settled();
    expect(eventing.handled(Slow).map(({ attempts }) => attempts.length)).toEqual([2]);
  });

  it('kill one of two instances: the other goes on with what it had', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [SendReceipt], { service: 'shop' });
    await start(eventing, [SendReceipt], { service: 'shop' });
    eventing.faults.pauseDelivery();
    const orders = Array.from({ length: 20 }, (_, index) => `${index}`);
    await Promise.all(orders.map((orderId) => events.sendEvent(OrderPlaced, { orderId })));
    eventing.faults.crash('shop-2');
    eventing.faults.resumeDelivery();
    await eventing.settled();
    expect(new Set(eventing.handled(SendReceipt).map(({ envelope }) => envelope.body.orderId)).size).toBe(20);
    expect(() => eventing.faults.crash('shop-9')).toThrow(expect.objectContaining({ code: 'EVT_INVALID_OPTIONS' }));
  });

  it('count an attempt that a crash ended for the same delivery', async () => {
    const [started, never] = [[] as string[], new Promise<void>(() => undefined)];
    @EventListener(OrderPlaced)
    class Deadly {
      on(_event: OrderPlaced, { attempt }: Envelope): Promise<void> | void {
        started.push(`${attempt}`);
        if (attempt === 1) return never;
      }
    }
    const eventing = testEventing({ timeout: 50 });
    const { events } = await start(eventing, [Deadly], { service: 'shop' });
    await start(eventing, [Deadly], { service: 'shop' });
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.clock.advance(0);
    const instance = eventing.delivered(Deadly)[0]?.instance as string;
    eventing.faults.crash(instance);
    await eventing.settled();
    expect(started).toEqual(['1', '2']);
    expect(eventing.handled(Deadly)).toMatchObject([{ attempts: [{ outcome: 'running' }, { outcome: 'succeeded' }] }]);
    expect(eventing.handled(Deadly)[0]?.instance).not.toBe(instance);
  });

  it('keep dead letters from being stored, for a while', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [SendReceipt]);
    eventing.faults.failDeadLetters({ times: 2 });
    eventing.faults.failNext(SendReceipt, undefined, { times: Infinity });
    const begin = eventing.clock.now();
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.deadLettered()).toHaveLength(1);
    expect(eventing.clock.now() - begin).toBeGreaterThan(2000);
  });
});
