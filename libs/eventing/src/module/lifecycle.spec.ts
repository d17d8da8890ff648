import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  Inject,
  Injectable,
  Module,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  DeadLetters,
  Envelope,
  EnvelopePipeline,
  Event,
  type EventDescriptor,
  EventingContext,
  EventingModule,
  EventingRuntime,
  EventListener,
  EventManager,
  memory,
  MemoryBroker,
  type Next,
} from 'nestjs-eventing';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Gate, RecordingLogger, refusal, turn, until, VirtualClock } from '../kernel.fixture.js';
import { ScriptedProvider } from '../scripted.provider.fixture.js';
import { TestApp } from '../test.app.fixture.js';

@Event({ name: 'orders.placed', channel: 'orders', key: 'id' })
class OrderPlaced {
  id!: string;
}

async function opened(module: TestingModule): Promise<TestingModule> {
  onTestFinished(() => module.close());
  return module.init();
}

describe('start and drain, beside what listeners depend on', () => {
  /** As people write it: opens in onModuleInit, closes in onModuleDestroy. */
  @Injectable()
  class PrismaService implements OnModuleInit, OnModuleDestroy, OnApplicationBootstrap {
    state: 'new' | 'open' | 'warm' | 'closed' = 'new';
    async onModuleInit(): Promise<void> {
      await turn();
      this.state = 'open';
    }
    async onApplicationBootstrap(): Promise<void> {
      await turn();
      this.state = 'warm';
    }
    async onModuleDestroy(): Promise<void> {
      await turn();
      this.state = 'closed';
    }
  }
  const gates: Gate[] = [];
  let seen: string[] = [];
  @EventListener(OrderPlaced, { from: 'earliest' })
  class Store implements EventListener<OrderPlaced> {
    constructor(@Inject(PrismaService) private readonly prisma: PrismaService) {}
    async on({ id }: OrderPlaced): Promise<void> {
      seen.push(`${id} begins ${this.prisma.state}`);
      await gates.shift()?.promise;
      seen.push(`${id} ends ${this.prisma.state}`);
    }
  }

  it.each(['in the root module', 'in a module of its own', 'in a global one'])(
    'hold with the database %s',
    async (place) => {
      seen = [];
      @Module({ providers: [PrismaService], exports: [PrismaService] })
      class DatabaseModule {}
      const database = { module: DatabaseModule, global: place === 'in a global one' };
      const gate = new Gate();
      gates.push(gate);
      const own = place === 'in the root module';
      const broker = new MemoryBroker();
      @Module({
        imports: [
          EventingModule.forRoot({ provider: memory({ broker }), logger: new RecordingLogger() }),
          ...(own ? [] : [database]),
        ],
        providers: [Store, ...(own ? [PrismaService] : [])],
      })
      class AppModule {}
      const app = await NestFactory.createApplicationContext(AppModule, { logger: false });
      // Sent before the start, so that it waits when the listener begins.
      await app.get(EventManager).sendEvent(OrderPlaced, { id: '0' });
      await until(() => seen.length > 0);
      expect(seen).toEqual(['0 begins warm']);
      const closing = app.close();
      await turn();
      gate.open();
      await closing;
      expect(seen).toEqual(['0 begins warm', '0 ends warm']);
      expect(app.get(PrismaService).state).toBe('closed');
    },
  );

  it('let a listener that is draining send, and publish it before the connection closes', async () => {
    const provider = new ScriptedProvider();
    const gate = new Gate();
    @EventListener(OrderPlaced)
    class Forwarder implements EventListener<OrderPlaced> {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async on({ id }: OrderPlaced): Promise<void> {
        await gate.promise;
        await this.events.sendEvent(OrderPlaced, { id: `${id} again` });
      }
    }
    const app = await TestApp.start({ providers: [Forwarder] }, { provider: provider.factory });
    const delivery = provider.deliver({ type: 'orders.placed', body: Buffer.from('{"id":"1"}') });
    const closing = app.module.close();
    await turn();
    gate.open();
    await closing;
    expect(provider.messages.map(({ key }) => key)).toEqual(['1 again']);
    expect(delivery.kinds).toEqual(['accept']);
    expect(provider.journal.slice(-3)).toEqual(['pause Forwarder', 'leave Forwarder', 'stop']);
  });

  it('come first: what other modules send when they are destroyed is refused, not lost in silence', async () => {
    const provider = new ScriptedProvider();
    let outcome: unknown;
    @Injectable()
    class Farewell implements OnModuleDestroy {
      constructor(@Inject(EventManager) private readonly events: EventManager) {}
      async onModuleDestroy(): Promise<void> {
        outcome = await refusal(this.events.sendEvent(OrderPlaced, { id: 'bye' }));
      }
    }
    const app = await TestApp.start({ providers: [Farewell] }, { provider: provider.factory });
    await app.module.close();
    expect(outcome).toMatchObject({ code: 'EVT_NOT_RUNNING' });
  });

  it('end although a provider does not, and say which', async () => {
    const clock = new VirtualClock();
    const provider = new ScriptedProvider();
    provider.onLeave = () => new Promise(() => undefined);
    provider.onStop = () => new Promise(() => undefined);
    @EventListener(OrderPlaced)
    class Any implements EventListener {
      on(): void {
        return;
      }
    }
    const app = await TestApp.start({ providers: [Any] }, { provider: provider.factory, clock, drain: 1_000 });
    let ended = false;
    const closing = app.module.close().then(() => (ended = true));
    await until(() => provider.journal.includes('leave Any'));
    await clock.advance(5_999);
    expect(provider.journal).not.toContain('stop');
    await clock.advance(1);
    await until(() => provider.journal.includes('stop'));
    expect(ended).toBe(false);
    await clock.advance(1_000);
    await closing;
    expect(app.logger.having('did not close')).toEqual([
      'warn The subscription Any did not close within 6000 ms: it ends with the process.',
      'warn default (scripted) did not close within 1000 ms: it ends with the process.',
    ]);
  });

  it('may be asked for twice', async () => {
    const provider = new ScriptedProvider();
    const app = await TestApp.start({}, { provider: provider.factory });
    await Promise.all([app.runtime.stop(), app.runtime.stop(), app.module.close()]);
    expect(provider.journal).toEqual(['stop']);
  });

  it('may be asked for before there was a start, and then there is none', async () => {
    const provider = new ScriptedProvider();
    const app = await TestApp.create({}, { provider: provider.factory });
    await app.runtime.stop();
    await app.module.init();
    expect([provider.journal, app.runtime.ready]).toEqual([['stop'], false]);
  });

  it('may be asked for while the start waits for the broker: the start fails, and nothing stays open', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    broker.faults.disconnect();
    @EventListener(OrderPlaced)
    class Any implements EventListener {
      on(): void {
        return;
      }
    }
    const app = await TestApp.create({ providers: [Any] }, { clock, broker });
    const starting = refusal(app.module.init());
    await turn();
    await app.runtime.stop();
    expect(await starting).toMatchObject({ code: 'EVT_NOT_RUNNING' });
    broker.faults.connect();
    await turn();
    expect(broker.queues()).toEqual([]);
  });
});

describe('forRootAsync', () => {
  it('takes its options from other providers, when they are ready', async () => {
    @Injectable()
    class Config {
      readonly service = 'configured';
    }
    @Module({ providers: [Config], exports: [Config] })
    class ConfigModule {}
    const module = await opened(
      await Test.createTestingModule({
        imports: [
          EventingModule.forRootAsync({
            imports: [ConfigModule],
            inject: [Config],
            useFactory: async ({ service }: Config) => {
              await turn();
              return { service, logger: new RecordingLogger() };
            },
          }),
        ],
      }).compile(),
    );
    expect((await module.get(EventManager).sendEvent(OrderPlaced, { id: '1' })).source).toBe('/configured');
  });

  it('refuses options that cannot be used, as forRoot does', async () => {
    const imports = [EventingModule.forRootAsync({ useFactory: () => ({ service: 'a b' }) })];
    expect(await refusal(Test.createTestingModule({ imports }).compile())).toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: expect.stringContaining('service "a b"'),
    });
  });

  it('refuses a factory that forgot to return', async () => {
    const imports = [EventingModule.forRootAsync({ useFactory: () => undefined as never })];
    expect(await refusal(Test.createTestingModule({ imports }).compile())).toMatchObject({
      code: 'EVT_INVALID_OPTIONS',
      message: 'EventingModule: the options are undefined: return an object from useFactory.',
    });
  });
});

describe('what the module gives', () => {
  it('is global: every module may inject it, without importing anything', async () => {
    @Injectable()
    class Deep {
      constructor(
        @Inject(EventManager) readonly events: EventManager,
        @Inject(DeadLetters) readonly letters: DeadLetters,
        @Inject(EventingContext) readonly context: EventingContext,
        @Inject(EventingRuntime) readonly runtime: EventingRuntime,
      ) {}
    }
    @Module({ providers: [Deep] })
    class Feature {}
    const app = await TestApp.start({ imports: [Feature] });
    const deep = app.module.get(Deep, { strict: false });
    expect([deep.events, deep.letters, deep.context, deep.runtime]).toEqual([
      app.events,
      app.deadLetters,
      app.context,
      app.runtime,
    ]);
    expect(deep.events).toBe(deep.runtime.events);
  });

  it('finds listeners and pipelines in every module, and each once', async () => {
    const got: string[] = [];
    @EventListener(OrderPlaced)
    class Far implements EventListener {
      on(_event: object, { headers }: Envelope): void {
        got.push(headers.get('by') ?? 'nobody');
      }
    }
    @EnvelopePipeline()
    class Signing implements EnvelopePipeline {
      send(envelope: Envelope, _event: EventDescriptor, next: Next): Promise<void> {
        envelope.headers.set('by', `${envelope.headers.get('by') ?? ''}x`);
        return next();
      }
    }
    @Module({ providers: [Far, Signing], exports: [Far, Signing] })
    class Shared {}
    @Module({ imports: [Shared] })
    class One {}
    @Module({ imports: [Shared] })
    class Two {}
    const app = await TestApp.start({ imports: [One, Two] });
    await app.events.sendEvent(OrderPlaced, { id: '1' });
    await app.idle();
    expect(got).toEqual(['x']);
  });
});

describe('two applications in one process', () => {
  it('never see each other, although they are made of the same classes', async () => {
    const got: [string, string][] = [];
    const named = Symbol('name');
    @EventListener(OrderPlaced)
    class Recorder implements EventListener<OrderPlaced> {
      constructor(@Inject(named) private readonly name: string) {}
      on({ id }: OrderPlaced): void {
        got.push([this.name, id]);
      }
    }
    // One dynamic module, made once: its options are shared, what it makes must not be.
    const root = EventingModule.forRoot({ logger: new RecordingLogger() });
    const [one, two] = await Promise.all(
      ['one', 'two'].map(async (name) =>
        opened(
          await Test.createTestingModule({
            imports: [root],
            providers: [Recorder, { provide: named, useValue: name }],
          }).compile(),
        ),
      ),
    );
    await one?.get(EventManager).sendEvent(OrderPlaced, { id: '1' });
    await two?.get(EventManager).sendEvent(OrderPlaced, { id: '2' });
    await until(() => got.length === 2);
    await turn();
    expect(got.sort()).toEqual([
      ['one', '1'],
      ['two', '2'],
    ]);
    one?.get(EventingContext).run({ correlationId: 'c' }, () => {
      expect(two?.get(EventingContext).current()).toBeUndefined();
    });
    await one?.close();
    expect(two?.get(EventingRuntime).ready).toBe(true);
    await two?.get(EventManager).sendEvent(OrderPlaced, { id: '3' });
    await until(() => got.length === 3);
    expect(got.at(-1)).toEqual(['two', '3']);
  });

  it('exchange events over a broker that they share, each service with its own copy', async () => {
    const clock = new VirtualClock();
    const broker = new MemoryBroker({ clock });
    const got: string[] = [];
    const started = (service: string): Promise<TestApp> => {
      @EventListener(OrderPlaced)
      class Same implements EventListener<OrderPlaced> {
        on({ id }: OrderPlaced, { source }: Envelope<OrderPlaced>): void {
          got.push(`${service} got ${id} of ${source}`);
        }
      }
      return TestApp.start({ providers: [Same] }, { clock, broker, service });
    };
    const [shop] = [await started('shop'), await started('mail')];
    await shop.events.sendEvent(OrderPlaced, { id: '1' });
    await shop.idle();
    expect(got.sort()).toEqual(['mail got 1 of /shop', 'shop got 1 of /shop']);
  });

  it('share no state of any file: nothing at the top level of a module can change', () => {
    const root = dirname(dirname(fileURLToPath(import.meta.url)));
    const files = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter(
      (file) => file.endsWith('.ts') && !/\.(?:spec|fixture|d)\.ts$/.test(file),
    );
    expect(files.length).toBeGreaterThan(40);
    // Variables, collections to be filled, static fields. What is typed as read-only cannot be filled.
    const mutable =
      /^(?:export )?(?:let|var) |^(?:export )?const \w+(?:: (?!readonly |Readonly)[^=]+)? = (?:new (?:Map|Set|Array|AsyncLocalStorage)\b|\[\])|^ {2}static (?!(?:readonly|async|\w+[(<]|get ))/;
    const found = files.flatMap((file) =>
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .flatMap((line, index) => (mutable.test(line) ? [`${file}:${index + 1} ${line.trim()}`] : [])),
    );
    expect(found).toEqual([]);
  });
});
