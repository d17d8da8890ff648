import { Inject, Injectable, Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  Event,
  EventingModule,
  type EventingOptions,
  type EventHandlingContext,
  EventListener,
  EventListeners,
  EventManager,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Gate, RecordingLogger, refusal, until, VirtualClock } from '../kernel.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}
@Event({ name: 'mail.sent', provider: 'second' })
class MailSent {
  to!: string;
}

const calls: string[] = [];
@EventListener(OrderPlaced, { concurrency: 4, retry: { attempts: 7, delay: 50 } })
class SendReceipt implements EventListener<OrderPlaced> {
  on({ id }: OrderPlaced): void {
    calls.push(id);
  }
}

const statusOf = (app: TestApp, name: string) =>
  app.module
    .get(EventListeners)
    .list()
    .find((status) => status.name === name);

describe('options by name', () => {
  it('go over those of the decorators, and leave the others as they are', async () => {
    const app = await TestApp.start(
      { providers: [SendReceipt] },
      {
        events: { 'orders.placed': { channel: 'eu.orders', unknownFields: undefined } },
        listeners: { SendReceipt: { name: 'receipts', retry: { attempts: 2 }, guarantee: 'at-most-once' } },
      },
    );
    expect(statusOf(app, 'receipts')).toMatchObject({ channels: ['eu.orders'], guarantee: 'at-most-once' });
    expect(app.broker.queues()).toMatchObject([{ channel: 'eu.orders', subscription: 'receipts' }]);
  });

  it('merge what is inside of retry', async () => {
    const app = await TestApp.start(
      { providers: [SendReceipt] },
      { listeners: { SendReceipt: { retry: { delay: 1 } } } },
    );
    expect(statusOf(app, 'SendReceipt')?.retry).toBe('retry 7 in place');
  });

  it('of one version go over those of all', async () => {
    @Event({ name: 'stock.counted', version: 2 })
    class Counted {}
    const events = { 'stock.counted': { channel: 'all' }, 'stock.counted@2': { channel: 'two' } };
    const app = await TestApp.start({ imports: [EventingModule.forFeature([Counted])] }, { events });
    expect(app.runtime.registry.describe(Counted).channel).toBe('two');
  });

  it('may come from a configuration service', async () => {
    @Injectable()
    class Config {
      readonly channel = 'from.config';
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    const broker = new MemoryBroker();
    const module = await Test.createTestingModule({
      imports: [
        EventingModule.forRootAsync({
          imports: [ConfigModule],
          inject: [Config],
          useFactory: ({ channel }: Config): EventingOptions => ({
            provider: memory({ broker }),
            logger: new RecordingLogger(),
            events: { 'orders.placed': { channel } },
          }),
        }),
      ],
      providers: [SendReceipt],
    }).compile();
    onTestFinished(() => module.close());
    await module.init();
    expect(broker.hasChannel('from.config')).toBe(true);
  });

  it('are refused all at once, each with its name, where they cannot be', async () => {
    @Event({ name: 'stock.counted' })
    class Counted {}
    class Stock {
      @EventListener(Counted, { name: 'counting' })
      count(): void {
        return;
      }
    }
    const app = await TestApp.create(
      { providers: [SendReceipt, Stock] },
      {
        events: { 'orders.lost': { channel: 'x' }, 'orders.placed': { channel: 'a b', durable: 'yes' as never } },
        listeners: { SendReciept: { concurrency: 2 } },
      },
    );
    const { message } = await refusal(app.module.init());
    expect(message).toContain('channel "a b" must be 1 to 200 of A-Z a-z 0-9 . _ -; durable yes must be true or false');
    expect(message).toContain('events["orders.lost"] names none of this application\'s events');
    expect(message).toContain(
      'listeners["SendReciept"] names none of this application\'s listeners: there are counting',
    );
  });

  it('name every listener option that is wrong', async () => {
    const listeners = {
      SendReceipt: {
        concurrency: '4' as never,
        window: 0,
        perProcess: 'no' as never,
        retry: { attempts: 0, delay: -1 },
      },
    };
    const { message } = await refusal(
      (await TestApp.create({ providers: [SendReceipt] }, { listeners })).module.init(),
    );
    for (const part of [
      'concurrency 4',
      'window 0',
      'perProcess no',
      'retry.attempts cannot be 0',
      'retry.delay cannot be -1',
    ])
      expect(message).toContain(part);
  });

  it.each<[EventingOptions, string]>([
    [
      { listeners: { SendReceipt: { concurency: 3 } as never } },
      'listeners["SendReceipt"].concurency is no option: there are name, group',
    ],
    [{ events: { 'orders.placed': null as never } }, 'events["orders.placed"] must be an object of options'],
    [{ events: { 'orders.placed': { name: 'x' } as never } }, 'events["orders.placed"].name is no option'],
  ])('%j are told by the module', async (options, text) => {
    const { clock, logger } = { clock: new VirtualClock(), logger: new RecordingLogger() };
    const building = Test.createTestingModule({ imports: [EventingModule.forRoot({ clock, logger, ...options })] });
    expect((await refusal(building.compile())).message).toContain(text);
  });
});

describe('forFeature', () => {
  it('makes events known to the start, which checks them', async () => {
    const app = await TestApp.create({ imports: [EventingModule.forFeature([MailSent])] });
    expect(await refusal(app.module.init())).toMatchObject({
      code: 'EVT_UNKNOWN_PROVIDER',
      message: expect.stringContaining('MailSent names the provider "second"'),
    });
  });

  it('may be imported by many modules, and refuses what is no event', async () => {
    class Plain {}
    @Module({ imports: [EventingModule.forFeature([OrderPlaced])] })
    class Orders {}
    @Module({ imports: [EventingModule.forFeature([OrderPlaced, Plain])] })
    class Billing {}
    const app = await TestApp.create({ imports: [Orders, Billing] });
    expect(await refusal(app.module.init())).toMatchObject({ code: 'EVT_NOT_AN_EVENT' });
  });
});

describe('an event that handles itself', () => {
  @Injectable()
  class Mailer {
    readonly sent: string[] = [];
  }
  @Event({ name: 'receipt.due', key: 'id' })
  class ReceiptDue {
    id!: string;

    handle({ envelope, get }: EventHandlingContext): void {
      get(Mailer).sent.push(`${this.id} ${this.isLate()} ${envelope.attempt}`);
      if (envelope.attempt === 1) throw new Error('once');
    }
    isLate(): boolean {
      return false;
    }
  }

  it('is called on its own instance, with the providers of the application at hand, and is retried', async () => {
    @Module({ imports: [EventingModule.forFeature([], { handlers: [ReceiptDue] })], providers: [Mailer] })
    class Receipts {}
    const app = await TestApp.start(
      { imports: [Receipts] },
      { listeners: { 'ReceiptDue.handle': { retry: { delay: 1000 } } } },
    );
    // A literal needs no methods.
    await app.events.sendEvent(ReceiptDue, { id: '7' });
    await app.clock.advance(2000);
    expect(app.module.get(Mailer, { strict: false }).sent).toEqual(['7 false 1', '7 false 2']);
    expect(app.logger.having('Mapped {receipt.due → ReceiptDue.handle}')).toHaveLength(1);
  });

  it('is refused where it has no handle()', async () => {
    const feature = EventingModule.forFeature([], { handlers: [OrderPlaced as never] });
    expect(await refusal((await TestApp.create({ imports: [feature] })).module.init())).toMatchObject({
      code: 'EVT_LISTENER_WITHOUT_ON',
      message: expect.stringContaining('OrderPlaced has no handle() method'),
    });
  });
});

describe('several providers in one application', () => {
  it('carry the events that name them; one EventManager routes', async () => {
    const got: string[] = [];
    const [one, two] = [new MemoryBroker(), new MemoryBroker()];
    @EventListener(MailSent)
    class Mails implements EventListener<MailSent> {
      on({ to }: MailSent): void {
        got.push(to);
      }
    }
    const app = await TestApp.start(
      { providers: [SendReceipt, Mails] },
      { provider: memory({ broker: one }), providers: { second: memory({ broker: two }), third: memory() } },
    );
    calls.length = 0;
    await app.module.get(EventManager).sendEvent(MailSent, { to: 'ada' });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await Promise.all([one.idle(), two.idle()]);
    expect([got, calls]).toEqual([['ada'], ['1']]);
    expect(one.queues().map(({ channel }) => channel)).toEqual(['orders']);
    expect(two.queues().map(({ channel }) => channel)).toEqual(['mail.sent']);
  });

  it('an event moves to another by configuration', async () => {
    const broker = new MemoryBroker();
    await TestApp.start(
      { providers: [SendReceipt] },
      { providers: { other: memory({ broker }) }, events: { 'orders.placed': { provider: 'other' } } },
    );
    expect(broker.hasChannel('orders')).toBe(true);
  });
});

describe('listeners at run time', () => {
  it('are listed as the start announced them', async () => {
    const app = await TestApp.start({ providers: [SendReceipt] });
    expect(app.module.get(EventListeners).list()).toEqual([
      { ...app.runtime.announcements[0], name: 'SendReceipt', paused: false },
    ]);
  });

  it('pause and resume: nothing is lost, and nothing is delivered meanwhile', async () => {
    calls.length = 0;
    const app = await TestApp.start({ providers: [SendReceipt] });
    const listeners = app.module.get(EventListeners);
    listeners.pause('SendReceipt');
    listeners.pause('SendReceipt');
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.clock.advance(1000);
    expect([calls, statusOf(app, 'SendReceipt')?.paused]).toEqual([[], true]);
    listeners.resume('SendReceipt');
    await app.idle();
    expect([calls, statusOf(app, 'SendReceipt')?.paused]).toEqual([['1'], false]);
  });

  it('can be added: what is sent from then on reaches them, through the same lanes and retries', async () => {
    const app = await TestApp.start();
    const got: string[] = [];
    const subscription = await app.module.get(EventListeners).subscribe(
      OrderPlaced,
      ({ id }, { attempt }) => {
        got.push(`${id} ${attempt}`);
        if (attempt === 1) throw new Error('once');
      },
      { name: 'tail', retry: { delay: 100 } },
    );
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.clock.advance(1000);
    expect(got).toEqual(['1 1', '1 2']);
    expect(statusOf(app, 'tail')).toMatchObject({ events: ['orders.placed'] });
    await subscription.unsubscribe();
    await subscription.unsubscribe();
    await app.events.sendEvent(OrderPlaced, { id: '2' });
    await app.clock.advance(1000);
    expect([got.length, statusOf(app, 'tail')]).toEqual([2, undefined]);
    const again = await app.module
      .get(EventListeners)
      .subscribe(OrderPlaced, ({ id }) => got.push(id), { name: 'tail' });
    await app.idle();
    expect(got.slice(2)).toEqual(['2']);
    await again.unsubscribe();
  });

  it('unsubscribing waits for what is being handled', async () => {
    const app = await TestApp.start();
    const gate = new Gate();
    let ended = false;
    const subscription = await app.module
      .get(EventListeners)
      .subscribe(OrderPlaced, () => gate.promise, { name: 'slow' });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await until(() => app.broker.queues().some(({ unsettled }) => unsettled === 1));
    const leaving = subscription.unsubscribe().then(() => (ended = true));
    await app.clock.advance(100);
    expect(ended).toBe(false);
    gate.open();
    await leaving;
    expect(app.broker.queues()).toMatchObject([{ waiting: 0, unsettled: 0 }]);
  });

  it('are refused as at the start: a name that is taken, options that cannot be, nobody there', async () => {
    const app = await TestApp.create({ providers: [SendReceipt] });
    const listeners = app.module.get(EventListeners);
    const add = (name: string, options = {}) =>
      refusal(listeners.subscribe(OrderPlaced, () => undefined, { name, ...options }));
    expect((await add('early')).code).toBe('EVT_NOT_RUNNING');
    await app.module.init();
    expect((await add('SendReceipt')).code).toBe('EVT_DUPLICATE_LISTENER');
    expect((await add('a b')).code).toBe('EVT_INVALID_LISTENER_OPTIONS');
    expect(() => listeners.pause('SendReciept')).toThrow('No listener "SendReciept" runs here: there are SendReceipt.');
  });

  it('can be injected', async () => {
    @Injectable()
    class Admin {
      constructor(@Inject(EventListeners) readonly listeners: EventListeners) {}
    }
    const app = await TestApp.start({ providers: [Admin, SendReceipt] });
    expect(app.module.get(Admin).listeners.list()).toHaveLength(1);
  });
});
