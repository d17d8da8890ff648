import type { ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import {
  type Abilities,
  type DeadLetter,
  type DeadLetterPage,
  type DeadLetterQuery,
  DeadLetters,
  type Delivery,
  type EventingOptions,
  EventingContext,
  EventingError,
  EventingModule,
  EventingRuntime,
  EventManager,
  type EventProvider,
  MemoryBroker,
  memory,
  type OutgoingMessage,
  type ProviderContext,
  type ProviderFactory,
  type ProviderLogger,
  type PublishFailure,
  type Settlement,
  type Subscriber,
  type Subscription,
  type SubscriptionHandle,
  type WireBinding,
} from 'nestjs-eventing';
import { onTestFinished } from 'vitest';
import { VirtualClock } from '../../testing/src/virtual.clock.js';

export { VirtualClock };

/** Resolves when the condition holds; fails after two seconds of real time. Lets the event loop turn, moves no clock. */
export async function until(condition: () => boolean, what = String(condition)): Promise<void> {
  const deadline = performance.now() + 2000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`in two seconds this did not come true: ${what}`);
    await turn();
  }
}

/** One turn of the event loop: every microtask and every immediate that waits. */
export const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** What a promise rejects with, as the coded error that it must be. */
export async function refusal(promise: Promise<unknown>): Promise<EventingError> {
  const outcome = await promise.then(
    () => 'it was not refused',
    (error: unknown) => error,
  );
  if (outcome instanceof EventingError) return outcome;
  throw new Error(
    `no EventingError: ${outcome instanceof Error ? (outcome.stack ?? outcome.message) : String(outcome)}`,
  );
}

/** The same for a call. */
export function refusalOf(call: () => unknown): EventingError {
  try {
    call();
  } catch (error) {
    if (error instanceof EventingError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

/** A promise that is settled from outside. */
export class Gate<T = void> {
  open!: (value: T) => void;
  fail!: (error: unknown) => void;
  readonly promise = new Promise<T>((resolve, reject) => {
    this.open = resolve;
    this.fail = reject;
  });
}

/** The same numbers in every run: mulberry32. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}

export class RecordingLogger implements ProviderLogger {
  readonly lines: string[] = [];
  readonly log = (message: string): void => void this.lines.push(`log ${message}`);
  readonly warn = (message: string): void => void this.lines.push(`warn ${message}`);
  readonly error = (message: string): void => void this.lines.push(`error ${message}`);
  readonly debug = (message: string): void => void this.lines.push(`debug ${message}`);

  having(part: string): string[] {
    return this.lines.filter((line) => line.includes(part));
  }
}

const silent = (): void => undefined;

export function contextOf(parts: Partial<ProviderContext> = {}): ProviderContext {
  return {
    name: 'default',
    service: 'shop',
    instance: 'foreign',
    topology: 'create',
    publishTimeout: 30_000,
    rebalanceDrain: 5_000,
    maxBodyBytes: 1_000_000,
    clock: new VirtualClock(),
    logger: new RecordingLogger(),
    onStatus: silent,
    ...parts,
  };
}

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

  async letters(): Promise<readonly DeadLetter[]> {
    return (await this.deadLetters.scan()).letters;
  }

  /** The one dead letter there must be. */
  async letter(): Promise<DeadLetter> {
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

/** Headers of a well-formed event on the in-memory binding. */
export function ce(
  type: string,
  more: Readonly<Record<string, string | Uint8Array>> = {},
): Record<string, string | Uint8Array> {
  return {
    ce_specversion: '1.0',
    ce_id: 'e1',
    ce_source: '/foreign',
    ce_type: type,
    'content-type': 'application/json',
    ...more,
  };
}

export function letterOf(parts: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id: 'l1',
    service: 'shop',
    listener: 'SendReceipt',
    channel: 'orders',
    reason: 'failed',
    error: { name: 'Error', message: 'no' },
    attempts: 5,
    firstFailedAt: 1,
    deadAt: 2,
    message: { key: 'k', headers: {}, body: Buffer.from('{}'), time: 0, position: '0@1' },
    ...parts,
  };
}

export const ABLE: Abilities = {
  order: 'cluster',
  durable: true,
  groups: true,
  perProcess: true,
  longestDefer: Number.MAX_SAFE_INTEGER,
  replay: true,
  transactions: false,
  largestMessage: 1_000_000,
};

export const BINDING: WireBinding = {
  attributePrefix: 'ce_',
  contentTypeHeader: 'content-type',
  carriesTime: true,
  carriesKey: true,
};

/** A provider that does what a test tells it, and writes down what the kernel asks of it. */
export class ScriptedProvider implements EventProvider {
  readonly kind = 'scripted';
  readonly binding = BINDING;
  readonly abilities: Abilities;
  readonly journal: string[] = [];
  readonly batches: (readonly OutgoingMessage[])[] = [];
  readonly subscribed: { readonly subscription: Subscription; readonly subscriber: Subscriber }[] = [];
  readonly letters: DeadLetter[] = [];
  context!: ProviderContext;
  onStart: () => Promise<void> = () => Promise.resolve();
  onPublish: (messages: readonly OutgoingMessage[]) => Promise<readonly PublishFailure[]> = () => Promise.resolve([]);
  onSubscribe: (subscription: Subscription) => Promise<void> = () => Promise.resolve();
  onAppend: () => Promise<void> = () => Promise.resolve();
  onLag: () => Promise<number> = () => Promise.resolve(0);

  constructor(abilities: Partial<Abilities> = {}) {
    this.abilities = { ...ABLE, ...abilities };
  }

  readonly deadLetters = {
    append: async (letter: DeadLetter): Promise<void> => {
      await this.onAppend();
      this.letters.push(letter);
    },
    scan: (_query: DeadLetterQuery): Promise<DeadLetterPage> => Promise.resolve({ letters: this.letters }),
    remove: () => Promise.resolve(),
  };

  get factory(): ProviderFactory {
    return {
      kind: this.kind,
      create: (context) => {
        this.context = context;
        return this;
      },
    };
  }

  get messages(): OutgoingMessage[] {
    return this.batches.flat();
  }

  async start(channels: readonly { readonly name: string }[]): Promise<void> {
    this.journal.push(`start ${channels.map(({ name }) => name).join(',')}`);
    await this.onStart();
    this.context.onStatus('connected');
  }

  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    this.batches.push(messages);
    return this.onPublish(messages);
  }

  async subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle> {
    this.journal.push(`subscribe ${subscription.name}`);
    await this.onSubscribe(subscription);
    this.subscribed.push({ subscription, subscriber });
    return {
      pause: () => void this.journal.push(`pause ${subscription.name}`),
      resume: () => void this.journal.push(`resume ${subscription.name}`),
      lag: () => this.onLag(),
      stop: async () => void this.journal.push(`leave ${subscription.name}`),
    };
  }

  async stop(): Promise<void> {
    this.journal.push('stop');
  }

  /** Delivers to the only subscription there is, or to the one named. */
  deliver(parts: Partial<Delivery> & { readonly type?: string } = {}, to?: string): ScriptedDelivery {
    const found = this.subscribed.find(({ subscription }) => to === undefined || subscription.name === to);
    if (found === undefined) throw new Error('nobody has subscribed');
    const delivery = new ScriptedDelivery(found.subscription.channels[0] ?? '', parts, this.#position++);
    found.subscriber.deliver(delivery);
    return delivery;
  }

  get subscriber(): Subscriber {
    const [first] = this.subscribed;
    if (first === undefined) throw new Error('nobody has subscribed');
    return first.subscriber;
  }

  #position = 0;
}

/** A delivery that writes down how it was settled. */
export class ScriptedDelivery implements Delivery {
  readonly channel: string;
  readonly key: string | undefined;
  readonly headers: Delivery['headers'];
  readonly body: Uint8Array;
  readonly time: number;
  readonly source: string;
  readonly position: string;
  readonly attempt: number;
  readonly notBefore?: number;
  readonly settlements: Settlement[] = [];
  /** Throws or rejects where settling is to fail. */
  onSettle: (settlement: Settlement) => Promise<void> | void = () => undefined;

  constructor(channel: string, parts: Partial<Delivery> & { readonly type?: string }, position: number) {
    this.channel = parts.channel ?? channel;
    this.key = parts.key;
    this.headers = parts.headers ?? ce(parts.type ?? this.channel, { ce_id: `e${position}` });
    this.body = parts.body ?? Buffer.from('{}');
    this.time = parts.time ?? 0;
    this.source = parts.source ?? `${this.channel}/0`;
    this.position = parts.position ?? `0@${position}`;
    this.attempt = parts.attempt ?? 1;
    if (parts.notBefore !== undefined) this.notBefore = parts.notBefore;
  }

  settle(settlement: Settlement): Promise<void> | void {
    this.settlements.push(settlement);
    return this.onSettle(settlement);
  }

  get kinds(): string[] {
    return this.settlements.map(({ kind }) => kind);
  }

  get letter(): DeadLetter {
    const found = this.settlements.find((settlement) => settlement.kind === 'reject');
    if (found === undefined) throw new Error(`no dead letter: ${this.kinds.join(', ')}`);
    return found.letter;
  }
}
