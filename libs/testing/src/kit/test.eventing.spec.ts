import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  BatchError,
  type BatchEventListener,
  DeadLetters,
  Envelope,
  EnvelopePipeline,
  Event,
  EventingModule,
  EventListener,
  EventManager,
  type Next,
  type ProviderFactory,
  raw,
  RejectEvent,
} from 'nestjs-eventing';
import { kafka } from 'nestjs-eventing/kafka';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { failure, OrderPlaced, ReceiptSent, start, startModule } from './kit.fixture.js';
import { testEventing } from './test.eventing.js';

@Injectable()
class Mailer {
  readonly mails: string[] = [];
  send(orderId: string): void {
    this.mails.push(orderId);
  }
}

@EventListener(OrderPlaced)
class SendReceipt implements EventListener<OrderPlaced> {
  constructor(
    private readonly mailer: Mailer,
    private readonly events: EventManager,
  ) {}
  async on({ orderId }: OrderPlaced): Promise<void> {
    this.mailer.send(orderId);
    await this.events.sendEvent(ReceiptSent, { orderId });
  }
}

@Injectable()
class Audit {
  @EventListener(OrderPlaced)
  placed(): void {}
  @EventListener(ReceiptSent, { name: 'audit.receipts' })
  sent(): void {}
}

@Module({
  imports: [
    EventingModule.forRoot({ service: 'shop', topology: 'check', provider: kafka({ brokers: ['nowhere:1'] }) }),
  ],
  providers: [Mailer, SendReceipt, Audit],
})
class AppModule {}

/** A provider that must not even be made. */
const forbidden: ProviderFactory = {
  kind: 'kafka',
  create: () => {
    throw new Error('it was made');
  },
};

describe('an application on a kit', () => {
  it('is the real AppModule, with Kafka swapped by one line', async () => {
    const eventing = testEventing();
    const module = await eventing.override(Test.createTestingModule({ imports: [AppModule] })).compile();
    await module.init();
    await module.get(EventManager).sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.published(OrderPlaced)).toMatchObject([{ body: { orderId: '1' }, key: '1', source: '/shop' }]);
    expect(eventing.handled(SendReceipt)).toHaveLength(1);
    expect(eventing.published(ReceiptSent)).toMatchObject([{ body: { orderId: '1' } }]);
    expect(eventing.deadLettered()).toEqual([]);
    expect(module.get(Mailer).mails).toEqual(['1']);
    await module.close();
  });

  it('has none of its providers made, the named ones neither, and a broker for each', async () => {
    @Event({ name: 'audited', provider: 'audit' })
    class Audited {}
    @EventListener(Audited)
    class OnAudited {
      on(): void {}
    }
    const eventing = testEventing();
    const options = { service: 'shop', provider: forbidden, providers: { audit: forbidden } };
    const { events } = await start(eventing, [OnAudited], options);
    await events.sendEvent(Audited, {});
    await eventing.settled();
    expect(eventing.handled(OnAudited)).toHaveLength(1);
    expect(eventing.broker('audit').hasChannel('audited')).toBe(true);
    expect(eventing.broker().hasChannel('audited')).toBe(false);
  });

  it('may have its options made by a factory', async () => {
    const eventing = testEventing();
    const imports = [
      EventingModule.forRootAsync({ useFactory: async () => ({ service: 'late', provider: forbidden }) }),
    ];
    const { events } = await startModule(eventing, { imports, providers: [Audit] });
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.handled(Audit, 'placed')).toMatchObject([{ service: 'late', listener: 'Audit.placed' }]);
  });

  it('keeps all other options, its pipelines, and what refuses its start', async () => {
    @EnvelopePipeline()
    class Tenant implements EnvelopePipeline {
      send(envelope: Envelope, _event: unknown, next: Next): Promise<void> {
        envelope.headers.set('tenant', 't');
        return next();
      }
    }
    const eventing = testEventing();
    const options = { service: 'shop', maxBodyBytes: 50, pipelines: [Tenant], provider: forbidden };
    const { events } = await start(eventing, [Tenant], { ...options, start: 'background' });
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    const sending = events.sendEvent(OrderPlaced, { orderId: '1'.repeat(50) });
    await expect(sending).rejects.toMatchObject({ code: 'EVT_BODY_TOO_LARGE' });
    expect(eventing.published()[0]?.headers.get('tenant')).toBe('t');
    for (const wrong of [{ service: '' }, { provider: {} as never }, { providers: { audit: 7 as never } }])
      await expect(start(testEventing(), [], wrong)).rejects.toMatchObject({ code: 'EVT_INVALID_OPTIONS' });
    const forgotten = EventingModule.forRootAsync({ useFactory: () => undefined as never });
    await expect(startModule(testEventing(), { imports: [forgotten] })).rejects.toThrow(/useFactory/);
  });

  it('sends at once, also where it is told to wait for company', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [], { buffer: { linger: 1000 } });
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    expect(eventing.published(OrderPlaced)).toHaveLength(1);
  });
});

describe('two applications of one process', () => {
  it('never see each other, on kits of their own', async () => {
    const [one, other] = [testEventing(), testEventing()];
    const first = await start(one, [Audit]);
    await start(other, [Audit]);
    await first.events.sendEvent(OrderPlaced, { orderId: '1' });
    await one.clock.advance(1000);
    await Promise.all([one.settled(), other.settled()]);
    expect([one.handled(Audit).length, other.handled(Audit).length]).toEqual([1, 0]);
    expect(other.published()).toEqual([]);
    expect(other.broker().hasChannel('receipts')).toBe(true);
    expect(other.clock.now()).toBe(Date.UTC(2026, 0, 1));
  });

  it('exchange events on one kit, as services do', async () => {
    const eventing = testEventing();
    const shop = await start(eventing, [Mailer, SendReceipt], { service: 'shop' });
    await start(eventing, [Audit], { service: 'audit' });
    await shop.events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(
      eventing
        .handled()
        .map(({ service, listener }) => `${service} ${listener}`)
        .sort(),
    ).toEqual(['audit Audit.placed', 'audit audit.receipts', 'shop SendReceipt']);
  });
});

describe('what is published', () => {
  it('is what an exactly-once listener sent, once it has succeeded', async () => {
    let calls = 0;
    @EventListener(OrderPlaced, { guarantee: 'exactly-once', retry: { delay: 1 } })
    class Exact {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async on({ orderId }: OrderPlaced): Promise<void> {
        await this.events.sendEvent(ReceiptSent, { orderId });
        if (++calls === 1) throw new Error('no');
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Exact]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.published(ReceiptSent)).toMatchObject([{ body: { orderId: '1' } }]);
    expect(eventing.handled(Exact)).toHaveLength(1);
  });

  it('is what the wire carries, as an instance of its class', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, []);
    const body = { orderId: '1', left: undefined };
    const sent = await events.sendEvent(OrderPlaced, body, { headers: { tenant: 't' } });
    body.orderId = 'changed later';
    const [envelope] = eventing.published(OrderPlaced);
    expect(envelope).toBeInstanceOf(Envelope);
    expect(envelope?.body).toBeInstanceOf(OrderPlaced);
    expect(envelope?.body).toEqual({ orderId: '1' });
    expect([envelope?.id, envelope?.headers.get('tenant')]).toEqual([sent.id, 't']);
    expectTypeOf(eventing.published(OrderPlaced)).toEqualTypeOf<Envelope<OrderPlaced>[]>();
    expect(() => eventing.published(Mailer)).toThrow(expect.objectContaining({ code: 'EVT_NOT_AN_EVENT' }));
  });

  it('has the id that the sender gave, where the wire carries none, and its body where rules are asynchronous', async () => {
    const schema = {
      '~standard': { version: 1, vendor: 'test', validate: async (value: unknown) => ({ value }) },
    } as const;
    @Event({ name: 'legacy', wire: raw({ event: 'legacy' }), schema })
    class Legacy {
      text!: string;
    }
    const eventing = testEventing();
    const { events } = await start(eventing, []);
    await events.sendEvent(Legacy, { text: 'x' }, { id: 'mine' });
    expect(eventing.published(Legacy)).toMatchObject([{ id: 'mine', body: { text: 'x' } }]);
    expect(eventing.published(Legacy)[0]?.body).toBeInstanceOf(Legacy);
  });

  it('is in the order of the broker, also where some bodies take longer to be read', async () => {
    const slow = { orderId: 'slow' };
    const validate = async (value: unknown) => {
      if ((value as ReceiptSent).orderId === slow.orderId)
        for (let turns = 0; turns < 20; turns++) await new Promise((resolve) => setImmediate(resolve));
      return { value };
    };
    @Event({ schema: { '~standard': { version: 1, vendor: 'test', validate } } })
    class Checked {
      orderId!: string;
    }
    const eventing = testEventing();
    const { events } = await start(eventing, []);
    await Promise.all([
      events.sendEvent(Checked, slow, { key: 'k' }),
      events.sendEvent(Checked, { orderId: 'quick' }, { key: 'k' }),
    ]);
    expect(eventing.published(Checked).map(({ body }) => body.orderId)).toEqual(['slow', 'quick']);
  });

  it('lacks what was refused, and has what was stored though its sender was not told', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, []);
    eventing.faults.rejectNext(OrderPlaced);
    await expect(events.sendEvent(OrderPlaced, { orderId: '1' })).rejects.toMatchObject({ code: 'EVT_PUBLISH_FAILED' });
    eventing.faults.loseConfirmNext(OrderPlaced);
    await expect(events.sendEvent(OrderPlaced, { orderId: '2' })).rejects.toMatchObject({ indeterminate: true });
    expect(eventing.published(OrderPlaced).map(({ key }) => key)).toEqual(['2']);
  });
});

describe('what is handled', () => {
  it('is found by class, method, name and label, typed where the class is a listener', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [Mailer, SendReceipt, Audit]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.handled(Audit)).toHaveLength(2);
    expect(eventing.handled(Audit, 'placed')).toHaveLength(1);
    expect(eventing.handled('audit.receipts')).toHaveLength(1);
    expect(eventing.handled('Audit.sent')).toHaveLength(1);
    expect(eventing.handled(SendReceipt, 'on')).toEqual(eventing.handled('SendReceipt'));
    expect(eventing.handled()).toHaveLength(3);
    const [receipt] = eventing.handled(SendReceipt);
    expectTypeOf(receipt?.envelope.body).toEqualTypeOf<OrderPlaced | undefined>();
    expect(receipt?.envelope.body).toBeInstanceOf(OrderPlaced);
    const error = await failure(Promise.resolve().then(() => eventing.handled('SendReciept')));
    expect(error).toMatchObject({ code: 'EVT_UNKNOWN_LISTENER' });
    expect(error.message).toContain('SendReceipt');
  });

  it('asks for a name where two listeners are classes of one name', async () => {
    const listener = (name: string) => {
      @EventListener(OrderPlaced, { name })
      class Twin {
        on(): void {}
      }
      return Twin;
    };
    const [One, Two] = [listener('one'), listener('two')];
    const eventing = testEventing();
    const { events } = await start(eventing, [One, Two]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(() => eventing.handled(One)).toThrow(/'one' or 'two'/);
    expect(eventing.handled('two')).toHaveLength(1);
  });

  it('tells of each attempt, also of one that a pipeline failed, and of the outcome', async () => {
    @EnvelopePipeline()
    class Grumpy implements EnvelopePipeline {
      async handle(envelope: Envelope, _listener: unknown, next: Next): Promise<void> {
        if (envelope.attempt === 2) throw new Error('not now');
        await next();
      }
    }
    @EventListener(OrderPlaced, { retry: { attempts: 4, delay: 1000, factor: 1 } })
    class Shaky {
      on(_event: OrderPlaced, { attempt }: Envelope): void {
        if (attempt === 1) throw new Error('first');
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Shaky, Grumpy]);
    const begin = eventing.clock.now();
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    expect(eventing.handled(Shaky)).toMatchObject([
      {
        listener: 'Shaky',
        service: 'shop',
        outcome: 'handled',
        envelope: { attempt: 3, body: { orderId: '1' } },
        attempts: [
          { number: 1, outcome: 'failed', error: { message: 'first' }, startedAt: begin, endedAt: begin },
          { number: 2, outcome: 'failed', error: { message: 'not now' } },
          { number: 3, outcome: 'succeeded' },
        ],
      },
    ]);
    expect(eventing.clock.now() - begin).toBeGreaterThanOrEqual(2000);
  });

  it('spans the attempts of an event that is moved between them', async () => {
    @EventListener(ReceiptSent, { retry: { attempts: 3 } })
    class Moving {
      on(_event: ReceiptSent, { attempt }: Envelope): void {
        if (attempt < 3) throw new Error('again');
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Moving]);
    await events.sendEvent(ReceiptSent, { orderId: '1' });
    await eventing.settled();
    expect(eventing.handled(Moving).map(({ attempts }) => attempts.map(({ number }) => number))).toEqual([[1, 2, 3]]);
  });

  it('has neither what died nor what nobody asked for; what was delivered has', async () => {
    @EventListener(OrderPlaced, { unknown: 'skip' })
    class Strict {
      on({ orderId }: OrderPlaced): void {
        if (orderId === 'bad') throw new RejectEvent('never');
      }
    }
    @Event({ name: 'orders.cancelled', channel: 'orders' })
    class OrderCancelled {}
    const eventing = testEventing();
    const { events } = await start(eventing, [Strict]);
    await events.sendEvent(OrderPlaced, { orderId: 'bad' });
    await events.sendEvent(OrderCancelled, {});
    await eventing.publishRaw('orders', Buffer.from('{'), { key: '1' });
    await eventing.settled();
    expect(eventing.handled(Strict)).toEqual([]);
    expect(
      eventing
        .delivered(Strict)
        .map(({ outcome, attempts }) => [outcome, attempts.length])
        .sort(),
    ).toEqual([
      ['dead', 0],
      ['dead', 1],
      ['skipped', 0],
    ]);
    expect(
      eventing
        .deadLettered(Strict)
        .map(({ reason }) => reason)
        .sort(),
    ).toEqual(['rejected', 'undecodable']);
    expect(eventing.delivered(Strict).find(({ envelope }) => envelope === undefined)?.listener).toBe('Strict');
  });

  it('counts a batch by its events, and knows which of them failed', async () => {
    @EventListener(ReceiptSent, { batch: { size: 3, wait: 50 }, retry: { attempts: 2 } })
    class Bulk implements BatchEventListener<ReceiptSent> {
      onBatch(events: readonly ReceiptSent[], envelopes: readonly Envelope<ReceiptSent>[]): void {
        const index = events.findIndex(({ orderId }) => orderId === '2');
        if (index >= 0 && envelopes[index]?.attempt === 1)
          throw new BatchError([{ index, error: new Error('only this') }]);
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Bulk]);
    await Promise.all(['1', '2', '3', '4'].map((orderId) => events.sendEvent(ReceiptSent, { orderId })));
    await eventing.settled();
    const handled = eventing.handled(Bulk);
    expectTypeOf(handled[0]?.envelope.body).toEqualTypeOf<ReceiptSent | undefined>();
    expect(
      handled.map(({ envelope, attempts }) => [envelope.body.orderId, attempts.map(({ outcome }) => outcome)]).sort(),
    ).toEqual([
      ['1', ['succeeded']],
      ['2', ['failed', 'succeeded']],
      ['3', ['succeeded']],
      ['4', ['succeeded']],
    ]);
  });

  it('knows what a listener of at-most-once lost', async () => {
    @EventListener(OrderPlaced, { guarantee: 'at-most-once' })
    class Once {
      async on({ orderId }: OrderPlaced): Promise<void> {
        await new Promise((resolve) => setImmediate(resolve));
        if (orderId === '1') throw new Error('lost');
      }
    }
    const eventing = testEventing();
    const { events } = await start(eventing, [Once]);
    for (const orderId of ['1', '2']) await events.sendEvent(OrderPlaced, { orderId });
    await eventing.settled();
    expect(eventing.delivered(Once).map(({ outcome, deadLetter }) => [outcome, deadLetter?.error.message])).toEqual([
      ['dead', 'lost'],
      ['handled', undefined],
    ]);
  });
});

describe('a raw message', () => {
  it('is read by a listener as what it is, with headers and key, and is no event of ours that was published', async () => {
    @Event({ name: 'stock', wire: raw({ event: 'stock', idHeader: 'x-id' }) })
    class StockChanged {
      count!: number;
    }
    @EventListener(StockChanged)
    class OnStock implements EventListener<StockChanged> {
      on(): void {}
    }
    const eventing = testEventing();
    await start(eventing, [OnStock]);
    await eventing.publishRaw('stock', { count: 3 }, { key: 'k', headers: { 'x-id': 'a1' } });
    await eventing.settled();
    expect(eventing.handled(OnStock)).toMatchObject([{ envelope: { id: 'a1', key: 'k', body: { count: 3 } } }]);
    expect(eventing.published()).toEqual([]);
    await expect(eventing.publishRaw('stock', new Uint8Array(17 * 1024 * 1024))).rejects.toMatchObject({
      code: 'EVT_BODY_TOO_LARGE',
    });
  });
});

describe('dead letters', () => {
  it('are gone when they are redriven, and what comes of that is another delivery', async () => {
    const state = { broken: true };
    @EventListener(OrderPlaced, { retry: { attempts: 2 } })
    class Billing {
      on(): void {
        if (state.broken) throw new Error('no');
      }
    }
    const eventing = testEventing();
    const { module, events } = await start(eventing, [Billing, Audit]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.settled();
    const [letter] = eventing.deadLettered();
    expect(letter).toMatchObject({ listener: 'Billing', reason: 'failed', attempts: 2 });
    expect(eventing.deadLettered(Audit)).toEqual([]);
    state.broken = false;
    await module.get(DeadLetters).redrive(letter?.id as string);
    await eventing.settled();
    expect(eventing.deadLettered()).toEqual([]);
    expect(eventing.delivered(Billing).map(({ outcome }) => outcome)).toEqual(['dead', 'handled']);
    expect(eventing.published(OrderPlaced)).toHaveLength(1);
  });

  it('are forgotten with all else between two tests of one application', async () => {
    const eventing = testEventing();
    const { events } = await start(eventing, [Audit]);
    await events.sendEvent(OrderPlaced, { orderId: '1' });
    await eventing.publishRaw('receipts', Buffer.from('{'));
    await eventing.settled();
    expect(eventing.deadLettered()).toHaveLength(1);
    eventing.forget();
    expect([eventing.published(), eventing.delivered(), eventing.deadLettered()]).toEqual([[], [], []]);
    await events.sendEvent(OrderPlaced, { orderId: '2' });
    await eventing.settled();
    expect(eventing.handled(Audit)).toHaveLength(1);
  });
});

describe('a kit that nothing runs on', () => {
  it('says so, rather than that all is well', async () => {
    const eventing = testEventing();
    await expect(eventing.settled()).rejects.toMatchObject({ code: 'EVT_NOT_RUNNING' });
    expect(() => eventing.handled(Audit)).toThrow(expect.objectContaining({ code: 'EVT_NOT_RUNNING' }));
    await expect(eventing.settled()).rejects.toThrow(/override\(\)/);
  });
});
