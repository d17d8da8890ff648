import { type INestApplicationContext, Inject, Injectable, type OnModuleInit, Scope } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  EnvelopePipeline,
  Event,
  EventListener,
  EventManager,
  type EventingError,
  EventingModule,
  type EventingOptions,
  EventingRuntime,
  MemoryBroker,
  memory,
  raw,
} from 'nestjs-eventing';
import { describe, expect, it } from 'vitest';
import { RecordingLogger, refusal, VirtualClock } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { type AppOptions, TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'orderId' })
class OrderPlaced {
  orderId!: string;
}
@Event({ name: 'orders.cancelled', version: 2, channel: 'orders', key: 'orderId' })
class OrderCancelled {
  orderId!: string;
}
@Event({ name: 'mail.sent' })
class MailSent {}
@Event({ provider: 'audit' })
class Audited {}
class Undecorated {}

const listening = (events: Parameters<typeof EventListener>[0], options: Parameters<typeof EventListener>[1] = {}) => {
  @EventListener(events, options)
  class SendReceipt implements EventListener {
    on(): void {
      return;
    }
  }
  return SendReceipt;
};

/** What the start is refused with. */
async function refused(providers: unknown[], options: AppOptions = {}): Promise<EventingError> {
  const app = await TestApp.create({ providers: providers as [] }, options);
  const error = await refusal(app.module.init());
  expect(app.runtime.ready).toBe(false);
  return error;
}

describe('the start-up line', () => {
  async function lines(providers: unknown[], options: AppOptions = {}): Promise<string[]> {
    const app = await TestApp.start({ providers: providers as [] }, options);
    return app.logger.having('Mapped');
  }

  it('says of a listener with a key all that it was promised', async () => {
    expect(await lines([listening(OrderPlaced)])).toEqual([
      'log Mapped {orders.placed → SendReceipt} memory:orders group shop.SendReceipt · at-least-once · order by key · retry 5 in place · dead letters shop.dead-letters',
    ]);
  });

  it('says that an event without a key has no order, and that its retries are moved', async () => {
    expect(await lines([listening(MailSent, { retry: { attempts: 3 } })])).toEqual([
      'log Mapped {mail.sent → SendReceipt} memory:mail.sent group shop.SendReceipt · at-least-once · no order · retry 3 moved · dead letters shop.dead-letters',
    ]);
  });

  it('names versions above 1, every channel, and a group of its own naming', async () => {
    expect(
      await lines([listening([OrderPlaced, OrderCancelled, MailSent], { group: 'billing', order: 'none' })]),
    ).toEqual([
      'log Mapped {orders.placed, orders.cancelled@2, mail.sent → SendReceipt} memory:orders,mail.sent group shop.billing · at-least-once · no order · retry 5 in place · dead letters shop.dead-letters',
    ]);
  });

  it('says that each process has a copy, and that at-most-once has no retry', async () => {
    expect(await lines([listening(MailSent, { perProcess: true, guarantee: 'at-most-once' })])).toEqual([
      'log Mapped {mail.sent → SendReceipt} memory:mail.sent a copy for each process · at-most-once · no order · no retry · dead letters shop.dead-letters',
    ]);
  });

  it('names a method by its class', async () => {
    @Injectable()
    class Orders {
      @EventListener(OrderPlaced)
      onPlaced(): void {
        return;
      }
    }
    expect(await lines([Orders])).toEqual([
      expect.stringContaining('{orders.placed → Orders.onPlaced} memory:orders group shop.Orders.onPlaced ·'),
    ]);
  });

  it('is there for each listener, and as data', async () => {
    const app = await TestApp.start({
      providers: [listening(OrderPlaced, { name: 'a' }), listening(MailSent, { name: 'b' })],
    });
    expect(app.logger.having('Mapped')).toHaveLength(2);
    expect(app.runtime.announcements).toMatchObject([
      {
        listener: 'SendReceipt',
        events: ['orders.placed'],
        provider: 'memory',
        channels: ['orders'],
        group: 'group shop.a',
      },
      { listener: 'SendReceipt', events: ['mail.sent'], channels: ['mail.sent'], group: 'group shop.b' },
    ]);
  });

  it('is followed by a hint where the name of a durable subscription is only that of the class', async () => {
    const app = await TestApp.start({
      providers: [
        listening(OrderPlaced),
        listening(MailSent, { name: 'mailer' }),
        listening(MailSent, { perProcess: true, name: 'x' }),
      ],
    });
    expect(app.logger.having('debug')).toEqual([
      'debug SendReceipt gives its durable subscription its name: set name before you rename the class',
    ]);
  });
});

describe('the start is refused, with a code, the culprit and the remedy', () => {
  it('for a class listened to that is no event', async () => {
    expect(await refused([listening(Undecorated)])).toMatchObject({
      code: 'EVT_NOT_AN_EVENT',
      message: 'Undecorated is not an event: decorate the class with @Event().',
    });
  });

  it('for an event that is undefined, as in files that import each other', async () => {
    expect(await refused([listening(undefined as unknown as typeof OrderPlaced)])).toMatchObject({
      code: 'EVT_NOT_AN_EVENT',
      message: expect.stringContaining(
        'SendReceipt listens to undefined, which is no class: look for files that import each other',
      ),
    });
  });

  it('for two events of one name and version', async () => {
    @Event({ name: 'orders.placed', channel: 'orders' })
    class Impostor {}
    expect(await refused([listening(OrderPlaced, { name: 'a' }), listening(Impostor, { name: 'b' })])).toMatchObject({
      code: 'EVT_DUPLICATE_EVENT',
      message: 'Impostor and OrderPlaced are both "orders.placed" version 1: give one of them another name or version.',
    });
  });

  it('for an option of an event that cannot be used', async () => {
    @Event({ name: 'no spaces' })
    class Spaced {}
    expect(await refused([listening(Spaced)])).toMatchObject({
      code: 'EVT_INVALID_EVENT_OPTIONS',
      message: expect.stringContaining('@Event() of Spaced: name "no spaces" must be'),
    });
  });

  it('for events of one channel that disagree', async () => {
    @Event({ channel: 'orders', wire: raw({ event: 'Legacy' }) })
    class Legacy {}
    expect(await refused([listening(OrderPlaced, { name: 'a' }), listening(Legacy, { name: 'b' })])).toMatchObject({
      code: 'EVT_CHANNEL_CONFLICT',
      message: expect.stringContaining('Legacy and OrderPlaced share the channel "orders" and differ in "wire"'),
    });
  });

  it('for a listener without on()', async () => {
    @EventListener(OrderPlaced)
    class Forgetful {}
    expect(await refused([Forgetful])).toMatchObject({
      code: 'EVT_LISTENER_WITHOUT_ON',
      message: 'Forgetful has no on() method: write on(event, envelope).',
    });
  });

  it('for an option of a listener that cannot be used', async () => {
    expect(await refused([listening(OrderPlaced, { concurrency: 0 })])).toMatchObject({
      code: 'EVT_INVALID_LISTENER_OPTIONS',
      message: 'SendReceipt: concurrency 0 must be a whole number of at least 1.',
    });
  });

  it('for two listeners of one name', async () => {
    expect(await refused([listening(OrderPlaced), listening(MailSent)])).toMatchObject({
      code: 'EVT_DUPLICATE_LISTENER',
      message:
        'SendReceipt and SendReceipt are both named "SendReceipt": name one of them, and provide each class once.',
    });
  });

  it('for an unknown provider name, naming the event and what there is', async () => {
    expect(await refused([listening(Audited)], { providers: { metrics: memory() } })).toMatchObject({
      code: 'EVT_UNKNOWN_PROVIDER',
      message:
        'Audited names the provider "audit"; configured are default, metrics: add it to EventingModule\'s providers.',
    });
  });

  it('for what the provider cannot do, naming listener, option and provider', async () => {
    const provider = new ScriptedProvider({ order: 'none' });
    expect(await refused([listening(OrderPlaced)], { provider: provider.factory })).toMatchObject({
      code: 'EVT_UNSUPPORTED',
      message: expect.stringContaining(
        "SendReceipt asks for order: 'cluster', which scripted cannot give: it keeps 'none'",
      ),
    });
    expect(provider.journal).toEqual(['stop']);
  });

  it('for exactly-once, which a provider without transactions cannot give', async () => {
    const provider = new ScriptedProvider();
    const exact = [listening(OrderPlaced, { guarantee: 'exactly-once' })];
    expect(await refused(exact, { provider: provider.factory })).toMatchObject({
      code: 'EVT_UNSUPPORTED',
      message: expect.stringContaining(
        "SendReceipt asks for guarantee: 'exactly-once', which scripted cannot give: give EventingModule an inbox",
      ),
    });
  });

  it('for an event that is to outlive a broker that forgets', async () => {
    const provider = new ScriptedProvider({ durable: false });
    const error = await refused([listening(OrderPlaced, { durable: false })], { provider: provider.factory });
    expect(error).toMatchObject({
      code: 'EVT_UNSUPPORTED',
      message: expect.stringContaining('OrderPlaced is durable, which scripted'),
    });
  });

  it('for a pipeline with neither send() nor handle()', async () => {
    @EnvelopePipeline()
    class Idle {}
    expect(await refused([Idle])).toMatchObject({
      code: 'EVT_INVALID_PIPELINE',
      message: 'Idle has neither send() nor handle() nor handleBatch(): write one of them.',
    });
  });

  /** A listener that injects something of a scope. */
  function injecting(scope: Scope): unknown[] {
    @Injectable({ scope })
    class Session {}
    @EventListener(OrderPlaced)
    class BySession {
      constructor(@Inject(Session) readonly session: Session) {}
      on(): void {
        return;
      }
    }
    return [Session, BySession];
  }

  it.each([Scope.TRANSIENT, Scope.REQUEST])(
    'but not for a listener that injects something of scope %i',
    async (scope) => {
      expect((await TestApp.start({ providers: injecting(scope) as [] })).runtime.ready).toBe(true);
    },
  );

  it('for a transient listener, and for a pipeline that is no singleton', async () => {
    @EventListener(OrderPlaced)
    @Injectable({ scope: Scope.TRANSIENT })
    class Fleeting {
      on(): void {
        return;
      }
    }
    @EnvelopePipeline()
    @Injectable({ scope: Scope.REQUEST })
    class PerRequest implements EnvelopePipeline {
      send(): Promise<void> {
        return Promise.resolve();
      }
    }
    // The upper decorator is applied last: it must not undo the scope that was given.
    @EnvelopePipeline()
    class Inheriting extends PerRequest {}
    for (const type of [Fleeting, PerRequest, Inheriting])
      expect(await refused([type])).toMatchObject({
        code: 'EVT_LISTENER_SCOPE',
        message: expect.stringMatching(`^${type.name} is (?:transient|not a singleton)`),
      });
  });

  it.each<[EventingOptions, string]>([
    [{ service: 'my shop' }, 'service "my shop" must be 1 to 100 of'],
    [{ instance: '' }, 'instance "" must be'],
    [{ topology: 'maybe' as 'check' }, 'topology must be one of create, check'],
    [{ start: 'later' as 'wait' }, 'start must be one of wait, background'],
    [{ startTimeout: 0 }, 'startTimeout must be a number of at least 1'],
    [{ drain: Number.NaN }, 'drain must be'],
    [{ buffer: { maxEvents: 0 } }, 'buffer.maxEvents must be'],
    [{ buffer: { maxBytes: -1 } }, 'buffer.maxBytes must be'],
    [{ buffer: { linger: -1 } }, 'buffer.linger must be a number of at least 0'],
    [{ propagate: ['Session'] }, 'propagate: "Session" cannot be a header'],
    [{ providers: { audit: {} as never } }, 'provider "audit" must be a factory such as memory() or kafka({ … })'],
    [{ provider: memory(), providers: { default: memory() } }, 'provider and providers.default are both given'],
  ])('for the option %j', async (options, text) => {
    const error = await refusal(Test.createTestingModule({ imports: [EventingModule.forRoot(options)] }).compile());
    expect(error).toMatchObject({ code: 'EVT_INVALID_OPTIONS', message: expect.stringContaining(text) });
  });

  it('for several options at once, naming each', async () => {
    const { message } = await refusal(
      Test.createTestingModule({
        imports: [EventingModule.forRoot({ service: '', drain: 0, maxBodyBytes: 0 })],
      }).compile(),
    );
    for (const name of ['service', 'drain', 'maxBodyBytes']) expect(message).toContain(name);
  });

  it('for options given twice', async () => {
    const imports = [EventingModule.forRoot({ service: 'a' }), EventingModule.forRoot({ service: 'b' })];
    expect(await refusal(Test.createTestingModule({ imports }).compile())).toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: 'EventingModule is imported with options more than once: call forRoot() in the root module only.',
    });
  });

  it('for pipelines in forRoot that no module provides, or that are undefined', async () => {
    @EnvelopePipeline()
    class Absent implements EnvelopePipeline {
      send(): Promise<void> {
        return Promise.resolve();
      }
    }
    expect(await refused([], { pipelines: [Absent] })).toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: 'EventingModule: pipelines names Absent, which no module provides as an @EnvelopePipeline().',
    });
    expect(await refused([], { pipelines: [undefined as unknown as typeof Absent] })).toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
    });
  });

  it('for all of it at once', async () => {
    @EventListener(OrderPlaced)
    class Forgetful {}
    @EnvelopePipeline()
    class Idle {}
    const error = await refused(
      [
        Forgetful,
        Idle,
        listening(Undecorated, { name: 'a' }),
        listening(Audited, { name: 'b', guarantee: 'exactly-once' }),
        listening(MailSent, { name: 'c', window: 0 }),
        listening(OrderCancelled, { name: 'd', guarantee: 'exactly-once' }),
      ],
      { provider: new ScriptedProvider().factory },
    );
    expect(error.code).toBe('EVT_START_REFUSED');
    expect(error.message.split('\n')[0]).toBe('6 things must be mended first:');
    for (const line of [
      'EVT_LISTENER_WITHOUT_ON Forgetful',
      'EVT_INVALID_PIPELINE Idle',
      'EVT_NOT_AN_EVENT Undecorated',
      'EVT_INVALID_LISTENER_OPTIONS SendReceipt: window',
      'EVT_UNKNOWN_PROVIDER Audited',
      "EVT_UNSUPPORTED SendReceipt asks for guarantee: 'exactly-once'",
    ])
      expect(error.message).toContain(`\n  ${line}`);
    expect((error.cause as AggregateError).errors).toHaveLength(6);
  });
});

describe('a start that was refused', () => {
  it('closes what a send had opened while modules initialized', async () => {
    @Injectable()
    class Early implements OnModuleInit {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async onModuleInit(): Promise<void> {
        await this.events.sendEvent(MailSent, {});
      }
    }
    @EventListener(OrderPlaced)
    class Forgetful {}
    const provider = new ScriptedProvider();
    expect(await refused([Early, Forgetful], { provider: provider.factory })).toMatchObject({
      code: 'EVT_LISTENER_WITHOUT_ON',
    });
    expect(provider.messages).toHaveLength(1);
    expect(provider.journal.at(-1)).toBe('stop');
  });
});

describe('a provider that is away at the start', () => {
  it('is waited for', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    broker.faults.disconnect();
    const app = await TestApp.create({ providers: [listening(OrderPlaced)] }, { clock, broker });
    const starting = app.module.init();
    await clock.advance(30_000);
    expect(app.runtime.ready).toBe(false);
    broker.faults.connect();
    await starting;
    expect(app.runtime.ready).toBe(true);
  });

  it('is waited for no longer than startTimeout: EVT_START_TIMEOUT, naming the provider, and nothing is left open', async () => {
    const provider = new ScriptedProvider();
    provider.onStart = () => new Promise(() => undefined);
    const app = await TestApp.create(
      { providers: [listening(OrderPlaced)] },
      { provider: provider.factory, startTimeout: 5000 },
    );
    const starting = refusal(app.module.init());
    await app.clock.advance(4999);
    expect(provider.journal).toEqual(['start orders']);
    await app.clock.advance(60_000);
    expect(await starting).toMatchObject({
      code: 'EVT_START_TIMEOUT',
      message:
        '"default" (scripted) was not ready within 5000 ms: see that the broker runs, raise startTimeout, or set start: \'background\'.',
    });
    expect(provider.journal).toEqual(['start orders', 'stop']);
  });

  it('stops no start in the background: sends wait for it and none is lost', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    broker.faults.disconnect();
    const got: string[] = [];
    @EventListener(OrderPlaced)
    class Recorder implements EventListener<OrderPlaced> {
      on({ orderId }: OrderPlaced): void {
        got.push(orderId);
      }
    }
    const app = await TestApp.start({ providers: [Recorder] }, { clock, broker, start: 'background' });
    expect(app.runtime.ready).toBe(false);
    const sends = ['1', '2'].map((orderId) => app.events.sendEvent(OrderPlaced, { orderId }));
    await clock.advance(20_000);
    expect(got).toEqual([]);
    broker.faults.connect();
    await Promise.all(sends);
    await app.idle();
    expect(got.sort()).toEqual(['1', '2']);
    expect(app.runtime.ready).toBe(true);
  });

  it('in the background, is waited for by a send no longer than publishTimeout', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    broker.faults.disconnect();
    const app = await TestApp.start({}, { clock, broker, start: 'background', publishTimeout: 1000 });
    const send = refusal(app.events.sendEvent(MailSent, {}));
    await clock.advance(1000);
    expect(await send).toMatchObject({ code: 'EVT_PUBLISH_TIMEOUT', indeterminate: false });
  });

  it('refuses for good where waiting does not help, and says what the provider said', async () => {
    const broker = new MemoryBroker();
    expect(await refused([listening(OrderPlaced)], { provider: memory({ broker }), topology: 'check' })).toMatchObject({
      code: 'EVT_TOPOLOGY',
      message: expect.stringContaining('no channel "orders"'),
    });
  });

  it('in the background, refuses for good in the log, and refuses sends', async () => {
    const broker = new MemoryBroker();
    const app = await TestApp.start(
      { providers: [listening(OrderPlaced)] },
      { provider: memory({ broker }), topology: 'check', start: 'background' },
    );
    expect(await refusal(app.events.sendEvent(OrderPlaced, { orderId: '1' }))).toMatchObject({ code: 'EVT_TOPOLOGY' });
    expect(app.logger.having('error Eventing did not start')).toHaveLength(1);
    expect(app.runtime.ready).toBe(false);
  });
});

describe('what is started', () => {
  it('checks the channels of all that is listened to, also where a send comes before the start', async () => {
    @Injectable()
    class Early implements OnModuleInit {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async onModuleInit(): Promise<void> {
        await this.events.sendEvent(MailSent, {});
      }
    }
    const provider = new ScriptedProvider();
    await TestApp.start({ providers: [Early, listening(OrderPlaced)] }, { provider: provider.factory });
    expect(provider.journal[0]?.split(' ')[1]?.split(',').sort()).toEqual(['mail.sent', 'orders']);
    expect(provider.journal.filter((entry) => entry.startsWith('start'))).toHaveLength(1);
  });

  it('is only those providers that somebody sends to or listens on', async () => {
    const idle = new ScriptedProvider();
    const app = await TestApp.start({ providers: [listening(OrderPlaced)] }, { providers: { audit: idle.factory } });
    expect([app.runtime.ready, idle.journal]).toEqual([true, []]);
    await app.events.sendEvent(Audited, {});
    expect(idle.journal).toEqual(['start Audited']);
  });

  it('is every provider an event names: one manager routes', async () => {
    const audit = new ScriptedProvider();
    const app = await TestApp.start({ providers: [listening(OrderPlaced)] }, { providers: { audit: audit.factory } });
    await Promise.all([app.events.sendEvent(Audited, {}), app.events.sendEvent(OrderPlaced, { orderId: '1' })]);
    expect(audit.messages.map(({ channel }) => channel)).toEqual(['Audited']);
  });

  it('is told to subscribe exactly what the listener asked for', async () => {
    const provider = new ScriptedProvider();
    await TestApp.start(
      {
        providers: [
          listening([OrderPlaced, MailSent], { name: 'a', window: 7, from: { time: 5 } }),
          listening(OrderPlaced, { name: 'b', perProcess: true, order: 'process' }),
        ],
      },
      { provider: provider.factory },
    );
    expect(provider.subscribed.map(({ subscription }) => subscription)).toEqual([
      {
        name: 'a',
        channels: ['orders', 'mail.sent'],
        perProcess: false,
        durable: true,
        from: { time: 5 },
        window: 7,
        ordered: true,
        transactional: false,
      },
      {
        name: 'b',
        channels: ['orders'],
        perProcess: true,
        durable: false,
        from: 'first-subscription',
        window: 256,
        ordered: false,
        transactional: false,
      },
    ]);
  });

  it('is started once', async () => {
    const provider = new ScriptedProvider();
    const app = await TestApp.start({ providers: [listening(OrderPlaced)] }, { provider: provider.factory });
    await app.runtime.start();
    expect(provider.journal).toEqual(['start orders', 'subscribe SendReceipt']);
  });

  it('without options, is a service called app, in memory', async () => {
    const got: unknown[] = [];
    @EventListener(OrderPlaced)
    class Recorder implements EventListener<OrderPlaced> {
      on(event: OrderPlaced): void {
        got.push(event);
      }
    }
    const module: INestApplicationContext = await Test.createTestingModule({
      imports: [EventingModule.forRoot({ logger: new RecordingLogger() })],
      providers: [Recorder],
    }).compile();
    await module.init();
    const envelope = await module.get(EventManager).sendEvent(OrderPlaced, { orderId: '1' });
    expect(envelope.source).toBe('/app');
    await module.close();
    expect(got).toEqual([Object.assign(new OrderPlaced(), { orderId: '1' })]);
    expect(module.get(EventingRuntime).ready).toBe(false);
  });
});
