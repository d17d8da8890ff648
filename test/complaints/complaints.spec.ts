import { type CanActivate, Injectable, Module, Scope } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  type BatchEventListener,
  DeadLetters,
  type Envelope,
  Event,
  EventingModule,
  type EventingOptions,
  EventListener,
  EventListeners,
  EventManager,
  memory,
  MemoryBroker,
  raw,
} from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';

/**
 * What teams say of event handling in Nest, each as a test of its own: the tests of each part are with the part, these are the
 * answers.
 */

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}
@Event({ name: 'mail.sent', channel: 'mail' })
class MailSent {
  to!: string;
}

type Providers = (new (...args: never[]) => object)[];
const quiet = { log: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined };

async function application(
  providers: readonly object[],
  options: EventingOptions = {},
): Promise<{ module: TestingModule; events: EventManager; broker: MemoryBroker }> {
  const broker = new MemoryBroker();
  const root = EventingModule.forRoot({ service: 'shop', provider: memory({ broker }), logger: quiet, ...options });
  const module = await Test.createTestingModule({ imports: [root], providers: providers as Providers }).compile();
  onTestFinished(() => module.close());
  await module.init();
  return { module, events: module.get(EventManager), broker };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('the complaints', () => {
  it('“handler errors are swallowed, or retried for ever”: they are retried so often, and end where they can be seen', async () => {
    let calls = 0;
    @EventListener(OrderPlaced, { retry: { attempts: 3, delay: 1 } })
    class Broken implements EventListener {
      on(): void {
        calls++;
        throw new Error('the database is away');
      }
    }
    const { module, events, broker } = await application([Broken]);
    await events.sendEvent(OrderPlaced, { id: '1' });
    await broker.idle();
    const { letters } = await module.get(DeadLetters).scan();
    expect(calls).toBe(3);
    expect(letters).toMatchObject([{ attempts: 3, error: { message: 'the database is away' } }]);
  });

  it('“one consumer serves all topics”: each listener has its own, and a slow one holds up nobody', async () => {
    const got: string[] = [];
    @EventListener(OrderPlaced)
    class Stuck implements EventListener {
      on(_: object, { signal }: Envelope): Promise<void> {
        return new Promise((resolve) => signal.addEventListener('abort', () => resolve()));
      }
    }
    @EventListener([OrderPlaced, MailSent])
    class Quick implements EventListener {
      on(_: object, { name }: Envelope): void {
        got.push(name);
      }
    }
    const { events } = await application([Stuck, Quick], { drain: 1 });
    await events.sendEvent(OrderPlaced, { id: '1' });
    await events.sendEvent(MailSent, { to: 'ada' });
    while (got.length < 2) await turn();
    expect(got.sort()).toEqual(['mail.sent', 'orders.placed']);
  });

  it('“there are no batches”: a listener that asks for them gets them', async () => {
    const sizes: number[] = [];
    @EventListener(OrderPlaced, { batch: { size: 50, wait: 60_000 } })
    class Index implements BatchEventListener<OrderPlaced> {
      onBatch(orders: readonly OrderPlaced[]): void {
        sizes.push(orders.length);
      }
    }
    const { events, broker } = await application([Index]);
    await Promise.all(Array.from({ length: 100 }, (_, n) => events.sendEvent(OrderPlaced, { id: `${n}` })));
    await broker.idle();
    expect(sizes).toEqual([50, 50]);
  });

  it('“topic names cannot come from DI”: every option of an event and a listener can', async () => {
    @Injectable()
    class Config {
      readonly topic = 'eu.orders';
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    @EventListener(OrderPlaced)
    class Receipts implements EventListener {
      on(): void {
        return;
      }
    }
    const broker = new MemoryBroker();
    const root = EventingModule.forRootAsync({
      imports: [ConfigModule],
      inject: [Config],
      useFactory: ({ topic }: Config): EventingOptions => ({
        provider: memory({ broker }),
        logger: quiet,
        events: { 'orders.placed': { channel: topic } },
      }),
    });
    const module = await Test.createTestingModule({ imports: [root], providers: [Receipts] }).compile();
    onTestFinished(() => module.close());
    await module.init();
    expect(broker.queues().map(({ channel }) => channel)).toEqual(['eu.orders']);
  });

  it('“with two clusters every handler is registered twice”: an event names its provider, and is listened to there', async () => {
    const calls: string[] = [];
    @Event({ name: 'audit.written', provider: 'archive' })
    class AuditWritten {
      what!: string;
    }
    @EventListener(OrderPlaced)
    class Orders implements EventListener {
      on(): void {
        calls.push('order');
      }
    }
    @EventListener(AuditWritten)
    class Audits implements EventListener {
      on(): void {
        calls.push('audit');
      }
    }
    const archive = new MemoryBroker();
    const { events, broker } = await application([Orders, Audits], {
      providers: { archive: memory({ broker: archive }) },
    });
    await events.sendEvent(OrderPlaced, { id: '1' });
    await events.sendEvent(AuditWritten, { what: 'login' });
    await Promise.all([broker.idle(), archive.idle()]);
    expect(calls.sort()).toEqual(['audit', 'order']);
    expect([broker, archive].map((one) => one.queues().map(({ subscription }) => subscription))).toEqual([
      ['Orders'],
      ['Audits'],
    ]);
  });

  it('“request scope is inherently incompatible”: a listener and what it injects are made for each event', async () => {
    const users: (string | undefined)[] = [];
    @Injectable({ scope: Scope.REQUEST })
    class Session {
      user: string | undefined;
    }
    @EventListener(OrderPlaced)
    class Orders implements EventListener {
      constructor(private readonly session: Session) {}
      on(_: object, { headers }: Envelope): void {
        users.push(this.session.user);
        this.session.user = headers.get('user');
      }
    }
    Reflect.defineMetadata('design:paramtypes', [Session], Orders);
    const { events, broker } = await application([Orders, Session]);
    for (const user of ['ada', 'bob']) await events.sendEvent(OrderPlaced, { id: '1' }, { headers: { user } });
    await broker.idle();
    expect(users).toEqual([undefined, undefined]);
  });

  it('“global HTTP guards fire on messages”: not unless the module is told so', async () => {
    let asked = 0;
    let handled = 0;
    class HttpGuard implements CanActivate {
      canActivate(): boolean {
        asked++;
        return false;
      }
    }
    @EventListener(OrderPlaced)
    class Orders implements EventListener {
      on(): void {
        handled++;
      }
    }
    const { events, broker } = await application([Orders, { provide: APP_GUARD, useClass: HttpGuard }]);
    await events.sendEvent(OrderPlaced, { id: '1' });
    await broker.idle();
    expect([asked, handled]).toEqual([0, 1]);
  });

  it('“a second application in the process gets no handlers”: each has its own, and they do not see each other', async () => {
    const got: string[] = [];
    @EventListener(OrderPlaced)
    class Orders implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        got.push(id);
      }
    }
    const [one, two] = [await application([Orders]), await application([Orders])];
    await one.events.sendEvent(OrderPlaced, { id: 'one' });
    await two.events.sendEvent(OrderPlaced, { id: 'two' });
    await Promise.all([one.broker.idle(), two.broker.idle()]);
    expect(got.sort()).toEqual(['one', 'two']);
  });

  it('“a foreign producer breaks the envelope”: what it writes is read, or kept as it came, and the channel goes on', async () => {
    const got: unknown[] = [];
    @Event({ name: 'sensor.read', channel: 'sensors', wire: raw({ event: 'sensor.read' }) })
    class SensorRead {
      value!: number;
    }
    @EventListener(SensorRead)
    class Sensors implements EventListener<SensorRead> {
      on({ value }: SensorRead): void {
        got.push(value);
      }
    }
    const { module, broker } = await application([Sensors]);
    const foreign = memory({ broker }).create({
      name: 'default',
      service: 'plc',
      instance: 'plc-1',
      topology: 'create',
      publishTimeout: 1000,
      rebalanceDrain: 1000,
      maxBodyBytes: 1000,
      clock: broker.clock,
      logger: quiet,
      onStatus: () => undefined,
    });
    await foreign.start([]);
    const message = (body: string) => ({
      id: 'x',
      channel: 'sensors',
      key: undefined,
      headers: {},
      body: Buffer.from(body),
      time: 0,
      durable: true,
    });
    await foreign.publish([message('{"value":1}'), message('not JSON'), message('{"value":2}')]);
    await broker.idle();
    await foreign.stop();
    expect(got.sort()).toEqual([1, 2]);
    const { letters } = await module.get(DeadLetters).scan();
    expect(letters.map(({ reason, message: { body } }) => [reason, Buffer.from(body).toString()])).toEqual([
      ['undecodable', 'not JSON'],
    ]);
  });

  it('“what is published before the client is ready is lost”: it waits for the connection, and arrives', async () => {
    const got: string[] = [];
    @EventListener(OrderPlaced)
    class Orders implements EventListener<OrderPlaced> {
      on({ id }: OrderPlaced): void {
        got.push(id);
      }
    }
    @Injectable()
    class Early {
      readonly sent: Promise<Envelope>;
      constructor(events: EventManager) {
        this.sent = events.sendEvent(OrderPlaced, { id: 'early' });
      }
    }
    Reflect.defineMetadata('design:paramtypes', [EventManager], Early);
    const { module, broker } = await application([Orders, Early]);
    await module.get(Early).sent;
    await broker.idle();
    expect(got).toEqual(['early']);
  });

  it('“a shutdown loses acknowledgements”: what was handled is accepted, and what was not comes back', async () => {
    const broker = new MemoryBroker();
    const handled: string[] = [];
    let release = (): void => undefined;
    const gate = new Promise<void>((resolve) => (release = resolve));
    @EventListener(OrderPlaced, { concurrency: 1 })
    class Orders implements EventListener<OrderPlaced> {
      async on({ id }: OrderPlaced): Promise<void> {
        await gate;
        handled.push(id);
      }
    }
    const first = await application([Orders], { provider: memory({ broker }) });
    for (const id of ['a', 'b', 'c']) await first.events.sendEvent(OrderPlaced, { id });
    while (broker.queues().every(({ unsettled }) => unsettled === 0)) await turn();
    const closing = first.module.close();
    while (!(first.module.get(EventListeners).list()[0]?.paused ?? true)) await turn();
    release();
    await closing;
    expect(handled).toHaveLength(1);
    expect(broker.queues()).toMatchObject([{ waiting: 2, unsettled: 0 }]);
    const second = await application([Orders], { provider: memory({ broker }) });
    await broker.idle();
    expect([...handled].sort()).toEqual(['a', 'b', 'c']);
    expect(second.module.get(EventListeners).list()).toHaveLength(1);
  });
});
