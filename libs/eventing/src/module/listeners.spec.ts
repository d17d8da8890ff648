import { Controller, Inject, Injectable } from '@nestjs/common';
import {
  Envelope,
  Event,
  EventBody,
  EventEnvelope,
  EventHeader,
  EventListener,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';
import { describe, expect, it, vi } from 'vitest';
import { Gate, seeded, turn, until, VirtualClock } from '../kernel.fixture.js';
import { ce } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
  number?: number;
}
@Event({ key: 'id' })
class Weighed {
  constructor(
    readonly id: string,
    readonly grams: number,
  ) {}
  isHeavy(): boolean {
    return this.grams > 100;
  }
}
@Event({ name: 'orders.cancelled', channel: 'orders', key: 'id' })
class OrderCancelled {
  id!: string;
}
@Event({ name: 'mail.sent' })
class MailSent {
  to?: string;
}

describe('a listener', () => {
  it('gets an instance of the event, with its methods, and the envelope around it', async () => {
    const got: unknown[] = [];
    @EventListener(Weighed)
    class Own implements EventListener<Weighed> {
      on(event: Weighed, envelope: Envelope<Weighed>): void {
        got.push(event instanceof Weighed, event.isHeavy(), envelope.body === event, this === app.module.get(Own));
        got.push(envelope.attempt, envelope.isReplay, envelope.signal.aborted);
      }
    }
    const app = await TestApp.start({ providers: [Own] });
    const sent = await app.events.sendEvent(new Weighed('1', 101));
    await app.idle();
    expect(got).toEqual([true, true, true, true, 1, false, false]);
    expect(sent.key).toBe('1');
  });

  it('gets its own copy: one that fails does not touch another', async () => {
    const got: string[] = [];
    @EventListener(OrderPlaced, { retry: { attempts: 1 } })
    class Broken implements EventListener {
      on(): void {
        got.push('broken');
        throw new Error('no');
      }
    }
    @EventListener(OrderPlaced)
    class Sound implements EventListener {
      on(): void {
        got.push('sound');
      }
    }
    const app = await TestApp.start({ providers: [Broken, Sound] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.idle();
    expect(got.sort()).toEqual(['broken', 'sound']);
    expect(await app.letter()).toMatchObject({ listener: 'Broken' });
  });

  it('may listen to several events, of one channel or of several', async () => {
    const got: string[] = [];
    @EventListener([OrderPlaced, OrderCancelled, MailSent])
    class Audit implements EventListener {
      on(event: object, envelope: Envelope): void {
        got.push(`${event.constructor.name} ${envelope.name}`);
      }
    }
    const app = await TestApp.start({ providers: [Audit] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.events.sendEvent(OrderCancelled, { id: '1' });
    await app.events.sendEvent(MailSent, {});
    await app.idle();
    expect(got.sort()).toEqual(['MailSent mail.sent', 'OrderCancelled orders.cancelled', 'OrderPlaced orders.placed']);
    expect(
      app.broker
        .queues()
        .map(({ channel, subscription }) => `${channel} ${subscription}`)
        .sort(),
    ).toEqual(['mail.sent Audit', 'orders Audit']);
  });

  it('keeps the order of a key over the events of a channel', async () => {
    const got: string[] = [];
    const gate = new Gate();
    @EventListener([OrderPlaced, OrderCancelled])
    class Ledger implements EventListener {
      async on(_event: object, { name }: Envelope): Promise<void> {
        if (got.length === 0) await gate.promise;
        got.push(name);
      }
    }
    const app = await TestApp.start({ providers: [Ledger] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.events.sendEvent(OrderCancelled, { id: '1' });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await turn();
    gate.open();
    await app.idle();
    expect(got).toEqual(['orders.placed', 'orders.cancelled', 'orders.placed']);
  });

  it('does not order the same key of two channels', async () => {
    const got: string[] = [];
    const gate = new Gate();
    @EventListener([OrderPlaced, MailSent], { order: 'none' })
    class Both implements EventListener {
      async on(_event: object, { name }: Envelope): Promise<void> {
        if (name === 'orders.placed') await gate.promise;
        got.push(name);
      }
    }
    const app = await TestApp.start({ providers: [Both] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.events.sendEvent(MailSent, {}, { key: '1' });
    await until(() => got.length === 1);
    gate.open();
    await app.idle();
    expect(got).toEqual(['mail.sent', 'orders.placed']);
  });

  it('handles different keys side by side up to its concurrency, and never one key twice at a time', async () => {
    const random = seeded(11);
    const running = new Set<string>();
    const ended = new Map<string, number[]>();
    let most = 0;
    @EventListener(OrderPlaced, { concurrency: 5 })
    class Worker implements EventListener<OrderPlaced> {
      async on({ id, number }: OrderPlaced): Promise<void> {
        expect(running.has(id)).toBe(false);
        running.add(id);
        most = Math.max(most, running.size);
        for (let turns = random() * 4; turns > 0; turns--) await turn();
        running.delete(id);
        ended.set(id, [...(ended.get(id) ?? []), number ?? -1]);
      }
    }
    const app = await TestApp.start({ providers: [Worker] });
    const keys = Array.from({ length: 9 }, (_, index) => `key${index}`);
    await Promise.all(
      Array.from({ length: 400 }, (_, number) =>
        app.events.sendEvent(OrderPlaced, { id: keys[number % 9] as string, number }),
      ),
    );
    await app.idle();
    expect(most).toBe(5);
    for (const [index, key] of keys.entries())
      expect(ended.get(key)).toEqual(
        Array.from({ length: 400 }, (_, number) => number).filter((number) => number % 9 === index),
      );
    expect(await app.letters()).toEqual([]);
  });

  it('may be an async function, return a value, or return a thenable: it is waited for', async () => {
    const gate = new Gate();
    const got: string[] = [];
    @EventListener(OrderPlaced)
    class Thenable implements EventListener<OrderPlaced> {
      on({ number }: OrderPlaced): unknown {
        got.push(`begun ${number}`);
        if (number === 1) return 'a value';
        // oxlint-disable-next-line unicorn/no-thenable -- what an old promise library gives
        return { then: (resolve: () => void) => void gate.promise.then(resolve) };
      }
    }
    const app = await TestApp.start({ providers: [Thenable] });
    for (const number of [1, 2, 3]) await app.events.sendEvent(OrderPlaced, { id: 'k', number });
    await until(() => got.length === 2);
    await turn();
    expect(got).toEqual(['begun 1', 'begun 2']);
    gate.open();
    await app.idle();
    expect(got).toHaveLength(3);
  });

  it('may be spied upon after the start', async () => {
    @EventListener(OrderPlaced)
    class Spied implements EventListener<OrderPlaced> {
      on(_event: OrderPlaced): void {
        return;
      }
    }
    const app = await TestApp.start({ providers: [Spied] });
    const spy = vi.spyOn(app.module.get(Spied), 'on');
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.idle();
    expect(spy).toHaveBeenCalledOnce();
  });

  it('may inherit its method, and may be made by a factory or given as a value', async () => {
    const got: string[] = [];
    class Base implements EventListener<OrderPlaced> {
      on(): void {
        got.push(this.constructor.name);
      }
    }
    @EventListener(OrderPlaced)
    class ByClass extends Base {}
    @EventListener(OrderPlaced)
    class ByFactory extends Base {}
    @EventListener(OrderPlaced)
    class ByValue extends Base {}
    const app = await TestApp.start({
      providers: [
        ByClass,
        { provide: 'factory', useFactory: async () => (await turn(), new ByFactory()) },
        { provide: 'value', useValue: new ByValue() },
        { provide: 'alias', useExisting: ByClass },
      ],
    });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.idle();
    expect(got.sort()).toEqual(['ByClass', 'ByFactory', 'ByValue']);
  });

  it('is not a listener by inheritance: only what is decorated itself is one', async () => {
    @EventListener(OrderPlaced)
    class Decorated implements EventListener {
      on(): void {
        return;
      }
    }
    @Injectable()
    class Heir extends Decorated {}
    const app = await TestApp.start({ providers: [Heir] });
    expect(app.runtime.announcements).toEqual([]);
  });
});

describe('arguments', () => {
  it('are what decorators say, in any place; others are left out', async () => {
    const got: unknown[] = [];
    @Injectable()
    class Orders {
      @EventListener(OrderPlaced)
      onPlaced(
        @EventHeader('Tenant') tenant: string | undefined,
        nothing: unknown,
        @EventBody() event: OrderPlaced,
        @EventEnvelope() envelope: Envelope<OrderPlaced>,
        @EventHeader('missing') missing: string | undefined,
      ): void {
        got.push(tenant, nothing, event instanceof OrderPlaced && event.id, envelope.name, missing);
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await app.events.sendEvent(OrderPlaced, { id: '1' }, { headers: { tenant: 't' } });
    await app.idle();
    expect(got).toEqual(['t', undefined, '1', 'orders.placed', undefined]);
  });

  it('of a class may be decorated too', async () => {
    const got: unknown[] = [];
    @EventListener(OrderPlaced)
    class SendReceipt {
      on(@EventEnvelope() envelope: Envelope<OrderPlaced>, @EventBody() event: OrderPlaced): void {
        got.push(envelope instanceof Envelope, event instanceof OrderPlaced);
      }
    }
    const app = await TestApp.start({ providers: [SendReceipt] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.idle();
    expect(got).toEqual([true, true]);
  });

  it('are event and envelope where nothing is decorated, on a method as well', async () => {
    const got: unknown[] = [];
    @Injectable()
    class Orders {
      @EventListener(OrderPlaced)
      onPlaced(event: OrderPlaced, envelope: Envelope<OrderPlaced>): void {
        got.push(event instanceof OrderPlaced, envelope instanceof Envelope);
      }
    }
    const app = await TestApp.start({ providers: [Orders] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.idle();
    expect(got).toEqual([true, true]);
  });
});

describe('methods as listeners', () => {
  it('are a subscription each, on providers and controllers, with their dependencies', async () => {
    const got: string[] = [];
    @Injectable()
    class Store {
      readonly name = 'store';
    }
    @Injectable()
    class Orders {
      constructor(@Inject(Store) private readonly store: Store) {}
      @EventListener(OrderPlaced)
      onPlaced(): void {
        got.push(`placed ${this.store.name}`);
      }
      @EventListener(OrderCancelled, { name: 'cancelling' })
      onCancelled(): void {
        got.push(`cancelled ${this.store.name}`);
      }
      notAListener(): void {
        got.push('never');
      }
    }
    @Controller()
    class Http {
      @EventListener(OrderPlaced)
      onPlaced(): void {
        got.push('controller');
      }
    }
    const app = await TestApp.start({ providers: [Store, Orders], controllers: [Http] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.events.sendEvent(OrderCancelled, { id: '1' });
    await app.idle();
    expect(got.sort()).toEqual(['cancelled store', 'controller', 'placed store']);
    expect(app.runtime.announcements.map(({ listener, group }) => `${listener} ${group}`).sort()).toEqual([
      'Http.onPlaced group shop.Http.onPlaced',
      'Orders.onCancelled group shop.cancelling',
      'Orders.onPlaced group shop.Orders.onPlaced',
    ]);
  });
});

describe('listeners of one group', () => {
  it('share one subscription and one set of lanes, each getting its own events', async () => {
    const got: string[] = [];
    const gate = new Gate();
    @EventListener(OrderPlaced, { group: 'billing' })
    class OnPlaced implements EventListener {
      async on(): Promise<void> {
        await gate.promise;
        got.push('placed');
      }
    }
    @EventListener(OrderCancelled, { group: 'billing' })
    class OnCancelled implements EventListener {
      on(): void {
        got.push('cancelled');
      }
    }
    const app = await TestApp.start({ providers: [OnPlaced, OnCancelled] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.events.sendEvent(OrderCancelled, { id: '1' });
    await turn();
    expect(app.broker.queues().map(({ subscription }) => subscription)).toEqual(['billing']);
    gate.open();
    await app.idle();
    expect(got).toEqual(['placed', 'cancelled']);
  });
});

describe('versions of an event', () => {
  @Event({ name: 'customers.named', version: 1, channel: 'customers' })
  class NamedV1 {
    name!: string;
  }
  @Event({
    name: 'customers.named',
    version: 3,
    channel: 'customers',
    upcast: {
      1: ({ name }) => ({ first: name }),
      2: ({ first }) => ({ first, last: 'unknown' }),
    },
  })
  class NamedV3 {
    first!: string;
    last!: string;
  }

  it('are brought up to the one listened to, step by step', async () => {
    const got: unknown[] = [];
    @EventListener(NamedV3)
    class Greeter implements EventListener<NamedV3> {
      on(event: NamedV3, { version }: Envelope<NamedV3>): void {
        got.push([event, event instanceof NamedV3, version]);
      }
    }
    const app = await TestApp.start({ providers: [Greeter] });
    await app.events.sendEvent(NamedV1, { name: 'Ada' });
    await app.idle();
    await app.publishRaw({
      channel: 'customers',
      headers: ce('customers.named', { ce_dataversion: '2' }),
      body: Buffer.from('{"first":"Bob"}'),
    });
    await app.idle();
    await app.events.sendEvent(NamedV3, { first: 'Cyd', last: 'C' });
    await app.idle();
    expect(got).toEqual([
      [{ first: 'Ada', last: 'unknown' }, true, 1],
      [{ first: 'Bob', last: 'unknown' }, true, 2],
      [{ first: 'Cyd', last: 'C' }, true, 3],
    ]);
  });

  it('may be listened to side by side, each as its own class', async () => {
    const got: unknown[] = [];
    @EventListener([NamedV1, NamedV3])
    class Both implements EventListener {
      on(event: object): void {
        got.push(event);
      }
    }
    const app = await TestApp.start({ providers: [Both] });
    await app.events.sendEvent(NamedV1, { name: 'Ada' });
    await app.idle();
    await app.events.sendEvent(NamedV3, { first: 'Cyd', last: 'C' });
    await app.idle();
    expect(got.map((event) => (event as object).constructor)).toEqual([NamedV1, NamedV3]);
  });

  it('are a dead letter where a step breaks: with the bytes, so that a better upcaster can read them', async () => {
    @Event({
      name: 'customers.named',
      version: 2,
      channel: 'customers',
      upcast: {
        1: ({ name }) => ({ first: (name as string).toUpperCase() }),
      },
    })
    class NamedV2 {}
    @EventListener(NamedV2)
    class Greeter implements EventListener {
      on(): void {
        return;
      }
    }
    const app = await TestApp.start({ providers: [Greeter] });
    await app.publishRaw({ channel: 'customers', headers: ce('customers.named') });
    await app.idle();
    expect(await app.letter()).toMatchObject({ reason: 'undecodable', message: { body: Buffer.from('{}') } });
  });
});

describe('time', () => {
  async function timed(options: Parameters<typeof EventListener>[1] = {}) {
    const got: [string | undefined, number][] = [];
    @EventListener([MailSent, OrderPlaced], { order: 'none', ...options })
    class Recorder implements EventListener {
      on(_event: object, { id }: Envelope): void {
        got.push([id, app.clock.now() - begin]);
      }
    }
    const app = await TestApp.start({ providers: [Recorder] });
    const begin = app.clock.now();
    return { app, got, begin };
  }

  it('holds an event back until notBefore, never early, while others go on', async () => {
    const { app, got, begin } = await timed();
    await app.events.sendEvent(MailSent, {}, { id: 'later', notBefore: begin + 60_000 });
    await app.events.sendEvent(MailSent, {}, { id: 'soon', notBefore: new Date(begin + 500) });
    await app.events.sendEvent(MailSent, {}, { id: 'past', notBefore: begin - 1 });
    await app.clock.advance(499);
    expect(got).toEqual([['past', 0]]);
    await app.clock.advance(1);
    await app.clock.advance(59_499);
    expect(got.slice(1)).toEqual([['soon', 500]]);
    await app.clock.advance(1);
    expect(got.slice(2)).toEqual([['later', 60_000]]);
  });

  it('holds a key back with its first event: order is kept', async () => {
    const { app, got, begin } = await timed();
    await app.events.sendEvent(OrderPlaced, { id: 'k' }, { id: 'first', notBefore: begin + 5000 });
    await app.events.sendEvent(OrderPlaced, { id: 'k' }, { id: 'second' });
    await app.events.sendEvent(OrderPlaced, { id: 'other' }, { id: 'third' });
    await app.clock.advance(4999);
    expect(got).toEqual([['third', 0]]);
    await app.clock.advance(1);
    expect(got.slice(1)).toEqual([
      ['first', 5000],
      ['second', 5000],
    ]);
  });

  it('counts no attempt while an event waits for its time', async () => {
    const attempts: number[] = [];
    @EventListener(MailSent, { retry: { attempts: 1 } })
    class Recorder implements EventListener {
      on(_event: object, { attempt }: Envelope): void {
        attempts.push(attempt);
      }
    }
    const app = await TestApp.start({ providers: [Recorder] });
    await app.events.sendEvent(MailSent, {}, { notBefore: app.clock.now() + 60_000 });
    await app.clock.advance(60_000);
    expect(attempts).toEqual([1]);
  });

  it('makes an event a dead letter from its expiry on', async () => {
    const { app, got } = await timed();
    app.broker.faults.pauseDelivery();
    await app.events.sendEvent(MailSent, {}, { id: 'short', expiresIn: 1000 });
    await app.events.sendEvent(MailSent, {}, { id: 'long', expiresIn: 1001 });
    await app.clock.advance(1000);
    app.broker.faults.resumeDelivery();
    await app.idle();
    expect(got).toEqual([['long', 1000]]);
    expect(await app.letter()).toMatchObject({
      reason: 'expired',
      attempts: 0,
      event: { id: 'short' },
      error: { code: 'EVT_EXPIRED' },
    });
  });

  it('makes an event a dead letter that expires between attempts, with the attempts it had', async () => {
    @EventListener(OrderPlaced, { retry: { attempts: 5, delay: 1000, factor: 1 } })
    class Failing implements EventListener {
      on(): void {
        throw new Error('no');
      }
    }
    const app = await TestApp.start({ providers: [Failing] });
    await app.events.sendEvent(OrderPlaced, { id: 'k' }, { expiresIn: 1500 });
    await app.clock.advance(10_000);
    expect(await app.letter()).toMatchObject({ reason: 'expired', attempts: 2 });
  });
});

describe('the guarantee at-most-once', () => {
  it('settles before the listener is called, and never calls it again', async () => {
    let calls = 0;
    let unsettled: number | undefined;
    @EventListener(OrderPlaced, { guarantee: 'at-most-once' })
    class Once implements EventListener {
      on(): void {
        calls++;
        unsettled = app.broker.queues()[0]?.unsettled;
        throw new Error('no');
      }
    }
    const app = await TestApp.start({ providers: [Once] });
    const { id } = await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.clock.advance(60_000);
    expect([calls, unsettled]).toEqual([1, 0]);
    expect(await app.letter()).toMatchObject({
      reason: 'failed',
      attempts: 1,
      event: { id },
      error: { message: 'no' },
    });
    expect(app.logger.having('error Once failed and is not called again (at-most-once)')).toHaveLength(1);
  });

  it('gives an event to nobody else when its process dies at it', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    const got: string[] = [];
    const started = async (instance: string): Promise<TestApp> => {
      @EventListener(OrderPlaced, { guarantee: 'at-most-once' })
      class Once implements EventListener {
        on(): Promise<void> {
          got.push(instance);
          return new Promise(() => undefined);
        }
      }
      return TestApp.start({ providers: [Once] }, { clock, broker, instance, drain: 1 });
    };
    const first = await started('one');
    await first.events.sendEvent(OrderPlaced, { id: '1' });
    await until(() => got.length === 1);
    broker.faults.crash('one');
    await started('two');
    await clock.advance(10_000);
    expect(got).toEqual(['one']);
  });
});

describe('a copy for each process', () => {
  it('reaches every instance, while a shared subscription reaches one', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    const got: string[] = [];
    const started = (instance: string): Promise<TestApp> => {
      @EventListener(MailSent, { perProcess: true })
      class Cache implements EventListener {
        on(): void {
          got.push(`cache of ${instance}`);
        }
      }
      @EventListener(MailSent)
      class Shared implements EventListener {
        on(): void {
          got.push('shared');
        }
      }
      return TestApp.start({ providers: [Cache, Shared] }, { provider: memory({ broker }), clock, broker, instance });
    };
    const [one] = [await started('one'), await started('two')];
    await one.events.sendEvent(MailSent, {});
    await one.idle();
    expect(got.sort()).toEqual(['cache of one', 'cache of two', 'shared']);
  });
});
