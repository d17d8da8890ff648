import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type DeadLetter,
  DeadLetters,
  EventingModule,
  type EventingOptions,
  EventingRuntime,
  EventManager,
  memory,
  MemoryBroker,
} from 'nestjs-eventing';
import { onTestFinished } from 'vitest';
import { RecordingLogger, VirtualClock } from '../../eventing/src/kernel.fixture.js';
import { EventingTransport, type EventingTransportOptions } from './eventing.transport.js';

/** One broker and one clock for all services of a test. */
export class World {
  readonly clock = new VirtualClock();
  readonly broker = new MemoryBroker({ clock: this.clock });
  readonly logger = new RecordingLogger();

  /** Options of a runtime in this world. */
  eventing(service = 'shop'): Pick<EventingOptions, 'service' | 'provider' | 'clock' | 'logger'> {
    return { service, clock: this.clock, logger: this.logger, provider: memory({ broker: this.broker }) };
  }

  async idle(): Promise<void> {
    await this.clock.advance(0);
    await this.broker.idle();
    await this.clock.advance(0);
  }

  /** Closing waits for timers, so the clock goes on meanwhile. Also when the test ends. */
  async close(closing: { close(): Promise<void> }): Promise<void> {
    let closed = false;
    const done = closing.close().finally(() => (closed = true));
    for (let step = 0; !closed && step < 200; step++) await this.clock.advance(1000);
    await done;
  }
}

/** An application over HTTP with `EventingModule`, and a transport on its runtime. */
export class HybridApp {
  private constructor(
    readonly world: World,
    readonly app: INestApplication,
    readonly transport: EventingTransport,
  ) {}

  static async create(
    parts: ModuleMetadata,
    options: Omit<EventingTransportOptions, 'runtime'> = {},
    world = new World(),
    service = 'shop',
  ): Promise<HybridApp> {
    const root = EventingModule.forRoot(world.eventing(service));
    const module = await Test.createTestingModule({ ...parts, imports: [...(parts.imports ?? []), root] })
      .setLogger(false as never)
      .compile();
    const app = module.createNestApplication({ logger: false });
    const transport = new EventingTransport({ ...options, runtime: app.get(EventingRuntime) });
    app.connectMicroservice({ strategy: transport });
    onTestFinished(() => world.close(app));
    return new HybridApp(world, app, transport);
  }

  static async start(...args: Parameters<typeof HybridApp.create>): Promise<HybridApp> {
    const hybrid = await HybridApp.create(...args);
    await hybrid.app.startAllMicroservices();
    await hybrid.app.init();
    return hybrid;
  }

  get events(): EventManager {
    return this.app.get(EventManager);
  }

  idle(): Promise<void> {
    return this.world.idle();
  }

  async letters(): Promise<readonly DeadLetter[]> {
    return (await this.app.get(DeadLetters).scan()).letters;
  }

  /** The one dead letter there must be. */
  async letter(): Promise<DeadLetter> {
    const letters = await this.letters();
    const [letter] = letters;
    if (letter === undefined || letters.length > 1) throw new Error(`${letters.length} dead letters, one was expected`);
    return letter;
  }
}
