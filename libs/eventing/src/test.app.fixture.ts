import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  DeadLetters,
  type EventingOptions,
  EventingContext,
  EventingError,
  EventingModule,
  EventingRuntime,
  EventManager,
  type FoundDeadLetter,
  MemoryBroker,
  memory,
  type OutgoingMessage,
} from 'nestjs-eventing';
import { onTestFinished } from 'vitest';
import { RecordingLogger, VirtualClock, contextOf } from './kernel.fixture.js';

/** To close what did not start rejects on Nest 11, with what the start was refused with; a stop refuses nothing by itself. */
function unlessRefused(error: unknown): void {
  if (!(error instanceof EventingError)) throw error;
}

/** A whole Nest application on a broker and a clock of its own. Closed when the test ends. */
export class TestApp {
  private constructor(
    readonly module: TestingModule,
    readonly broker: MemoryBroker,
    readonly clock: VirtualClock,
    readonly logger: RecordingLogger,
  ) {}

  /** Made, and not started yet. */
  static async create(parts: ModuleMetadata = {}, options: AppOptions = {}): Promise<TestApp> {
    const { clock = new VirtualClock(), broker = new MemoryBroker({ clock }), ...given } = options;
    const logger = new RecordingLogger();
    const root = EventingModule.forRoot({ service: 'shop', clock, logger, provider: memory({ broker }), ...given });
    const module = await Test.createTestingModule({ ...parts, imports: [...(parts.imports ?? []), root] }).compile();
    const app = new TestApp(module, broker, clock, logger);
    onTestFinished(() => app.close());
    return app;
  }

  static async start(parts: ModuleMetadata = {}, options: AppOptions = {}): Promise<TestApp> {
    const app = await TestApp.create(parts, options);
    await app.module.init();
    return app;
  }

  get events(): EventManager {
    return this.module.get(EventManager);
  }
  get deadLetters(): DeadLetters {
    return this.module.get(DeadLetters);
  }
  get context(): EventingContext {
    return this.module.get(EventingContext);
  }
  get runtime(): EventingRuntime {
    return this.module.get(EventingRuntime);
  }

  /** Every event has run to its end, or waits for its time. */
  async idle(): Promise<void> {
    await this.clock.advance(0);
    await this.broker.idle();
    await this.clock.advance(0);
  }

  async letters(): Promise<readonly FoundDeadLetter[]> {
    return (await this.deadLetters.scan()).letters;
  }

  /** The one dead letter there must be. */
  async letter(): Promise<FoundDeadLetter> {
    const letters = await this.letters();
    const [letter] = letters;
    if (letter === undefined || letters.length > 1) throw new Error(`${letters.length} dead letters, one was expected`);
    return letter;
  }

  /** Puts a message on a channel as foreign software would: no kernel has looked at it. */
  async publishRaw(parts: Partial<OutgoingMessage> & { readonly channel: string }): Promise<OutgoingMessage> {
    const provider = memory({ broker: this.broker }).create(contextOf({ service: 'foreign', clock: this.clock }));
    await provider.start([]);
    const message: OutgoingMessage = {
      id: 'raw-1',
      key: undefined,
      headers: {},
      body: Buffer.from('{}'),
      time: this.clock.now(),
      durable: true,
      ...parts,
    };
    const failures = await provider.publish([message]);
    await provider.stop();
    if (failures.length > 0) throw failures[0]?.error as Error;
    return message;
  }

  /** Closing waits for timers (a drain, a grace), so the clock goes on meanwhile. */
  async close(): Promise<void> {
    let closed = false;
    const closing = this.module
      .close()
      .catch(unlessRefused)
      .finally(() => (closed = true));
    for (let step = 0; !closed && step < 200; step++) await this.clock.advance(1000);
    await closing;
  }
}

export interface AppOptions extends Omit<EventingOptions, 'clock' | 'logger'> {
  readonly broker?: MemoryBroker;
  readonly clock?: VirtualClock;
}
