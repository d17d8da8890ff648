import {
  type DeadLetter,
  type Envelope,
  type EventClass,
  EVENTING_ASSEMBLY,
  type EventingAssembly,
  EventingError,
  type EventingOptions,
  EventingRuntime,
  EventRegistry,
  memory,
  MemoryBroker,
  type MemoryBrokerOptions,
  type ProviderFactory,
} from 'nestjs-eventing';
import { VirtualClock } from '../virtual.clock.js';
import { ApplicationWatch } from './application.watch.js';
import type { Delivered, DeliveryRecord, Handled } from './delivery.record.js';
import { publishAsForeigner, type RawMessageOptions } from './foreign.publisher.js';
import { Journal } from './journal.js';
import { ListenerFaults } from './listener.faults.js';
import { type EventOf, ListenerChoice, type ListenerClass, type ListenerTarget } from './listener.target.js';
import { ObservedProvider } from './observed.provider.js';
import { type SettleOptions, Settling } from './settling.js';
import { TestFaults } from './test.faults.js';
import { Timetable, type WatchedClock } from './watched.clock.js';

export interface TestEventingOptions extends SettleOptions {
  /** The time that applications and brokers live in. @default one of this kit alone, at 2026-01-01T00:00Z */
  readonly clock?: VirtualClock;
  /** Bounds of the brokers, as of `memory({ … })`. @default those of `memory()` */
  readonly broker?: Omit<MemoryBrokerOptions, 'clock'>;
}

/** What `overrideProvider` of Nest's `TestingModuleBuilder` is needed for; any Nest version's will do. */
export interface OverridableBuilder {
  overrideProvider(token: symbol): { useValue(value: unknown): unknown };
}

/**
 * Eventing under test: brokers in memory, a clock that stands still, and a record of all that happens. Nothing of it is global:
 * applications of one kit exchange events, those of two kits never see each other.
 *
 *     const eventing = testEventing();
 *     const module = await eventing.override(Test.createTestingModule({ imports: [AppModule] })).compile();
 */
export function testEventing(options: TestEventingOptions = {}): TestEventing {
  return new TestEventing(options);
}

/** Made by `testEventing()`. */
export class TestEventing {
  /** Move it yourself to let time pass: `await eventing.clock.advance(60_000)`. */
  readonly clock: VirtualClock;
  /** Makes brokers and listeners fail. */
  readonly faults: TestFaults;
  readonly #timetable: Timetable;
  readonly #brokerClock: WatchedClock;
  readonly #brokers = new Map<string, MemoryBroker>();
  readonly #applications = new Map<unknown, ApplicationWatch>();
  readonly #journal: Journal;
  readonly #listenerFaults = new ListenerFaults();
  readonly #settling: Settling;

  /** @internal */
  constructor(private readonly options: TestEventingOptions) {
    this.clock = options.clock ?? new VirtualClock();
    this.#journal = new Journal(this.clock);
    this.#timetable = new Timetable(this.clock);
    this.#brokerClock = this.#timetable.watch(true);
    this.faults = new TestFaults(this.#brokers, this.#applications, this.#listenerFaults, this.#journal);
    this.#settling = new Settling(this.clock, this.#timetable, this.#journal, this.#brokers);
    this.broker();
  }

  /**
   * Has the module that is built run on this kit: every provider is replaced by a broker in memory, before it is made; the clock
   * by `clock`; and the start waits, with channels created. Service, pipelines, listeners and all other options stay as they are.
   * Where no `instance` is given it is `<service>-1`, and so on.
   *
   * Call it for several applications, and they exchange events as over one broker.
   */
  override<B extends OverridableBuilder>(builder: B): B {
    builder.overrideProvider(EVENTING_ASSEMBLY).useValue(this.#assembly());
    return builder;
  }

  /** The broker in the place of a provider. @param provider `default`, or a key of `forRoot({ providers })` */
  broker(provider = 'default'): MemoryBroker {
    const known = this.#brokers.get(provider);
    if (known !== undefined) return known;
    const broker = new MemoryBroker({ ...this.options.broker, clock: this.#brokerClock });
    this.#brokers.set(provider, broker);
    return broker;
  }

  /**
   * Resolves when every event that was sent is handled, dead or skipped, also those that they caused, and every send has its
   * answer. Moves the clock through back-offs and deferrals; never so far that a listener at work would time out.
   * @throws EventingError EVT_NOT_SETTLED naming what is open after one of the bounds: nothing is lost, and it can be called
   *   again; EVT_NOT_RUNNING where no application runs on this kit
   */
  async settled(options: SettleOptions = {}): Promise<void> {
    if (![...this.#applications.values()].some(({ running }) => running))
      throw notRunning('settled()', 'override() its builder before compile(), and await module.init()');
    const { timeout, horizon, limit } = { ...this.options, ...options };
    await this.#settling.settled({ timeout, horizon, limit });
  }

  /**
   * Envelopes of what the brokers have stored, in their order, read from the wire as a listener would; without a class, of every
   * event. Neither sends that failed are among them, nor dead letters that were redriven.
   * @throws EventingError EVT_NOT_AN_EVENT
   */
  published<T extends object = object>(type?: EventClass<T>): Envelope<T>[] {
    const { published } = this.#journal;
    const event = type === undefined ? undefined : new EventRegistry().describe(type);
    return published.filter(
      ({ name, version }) => event === undefined || (name === event.name && version === event.version),
    ) as Envelope<T>[];
  }

  /**
   * What a listener has handled, in the order in which it was done, with all attempts of each. What failed for good is not among
   * them: see `delivered`. By class (also that of its listener methods), class and method, or name; without any, of all.
   * @throws EventingError EVT_UNKNOWN_LISTENER; EVT_NOT_RUNNING where no application has started
   */
  handled<L extends ListenerClass>(listener: L, method?: string): Handled<EventOf<L>>[];
  handled(listener?: string): Handled[];
  handled(listener?: ListenerTarget, method?: string): Handled[] {
    return this.#records('handled()', listener, method)
      .filter(({ outcome }) => outcome === 'handled')
      .sort((a, b) => a.place - b.place)
      .map((record) => record.snapshot() as Handled);
  }

  /** What has reached a listener, in order of arrival, whatever became of it. Parameters and errors are those of `handled`. */
  delivered<L extends ListenerClass>(listener: L, method?: string): Delivered<EventOf<L>>[];
  delivered(listener?: string): Delivered[];
  delivered(listener?: ListenerTarget, method?: string): Delivered[] {
    return this.#records('delivered()', listener, method).map((record) => record.snapshot());
  }

  /** Dead letters, the oldest first; without those that were redriven or removed. Parameters and errors are those of `handled`. */
  deadLettered(listener?: ListenerTarget, method?: string): DeadLetter[] {
    const letters = [...this.#journal.letters.values()];
    if (listener === undefined) return letters;
    const own = new Set(this.#records('deadLettered()', listener, method).map(({ letter }) => letter?.id));
    return letters.filter(({ id }) => own.has(id));
  }

  /**
   * Puts a message on a channel as other software would: no kernel has looked at it, and it is not among what is `published`.
   * @param body bytes as they are; of anything else, its JSON
   */
  async publishRaw(channel: string, body: unknown, options: RawMessageOptions = {}): Promise<void> {
    const { provider = 'default', ...rest } = options;
    await publishAsForeigner(this.broker(provider), this.clock, channel, body, rest);
  }

  /** Forgets what was published, handled and given up, for the next test of the same applications. What is open stays. */
  forget(): void {
    this.#journal.forget();
  }

  #records(call: string, listener: ListenerTarget | undefined, method: string | undefined): DeliveryRecord[] {
    const { records } = this.#journal;
    if (listener === undefined) return [...records];
    const choice = new ListenerChoice(listener, method);
    if (this.#applications.size === 0) throw notRunning(call, 'override() its builder before compile()');
    const known = [...this.#applications.values()].flatMap((application) => application.listeners);
    // Also those that were added, and are gone.
    const seen = records.flatMap(({ listener, subscription }) =>
      listener === undefined ? [] : [{ label: listener.label, name: listener.name, subscription }],
    );
    const subscriptions = choice.among([...known, ...seen]);
    return records.filter((record) =>
      record.listener === undefined ? subscriptions.has(record.subscription) : choice.includes(record.listener),
    );
  }

  #assembly(): EventingAssembly {
    return {
      options: (given) => this.#swap(given),
      runtime: (options, discover) => {
        const application = this.#applications.get(options.clock);
        const runtime = new EventingRuntime(options, (registry) => {
          const found = discover(registry);
          return application?.observe(registry, found) ?? found;
        });
        application?.attach(runtime, (stopping) => this.#settling.stopped(stopping));
        return runtime;
      },
    };
  }

  #swap(given: EventingOptions): EventingOptions {
    // A factory that forgot to return is refused as ever.
    if (typeof given !== 'object' || given === null) return given;
    const { service = 'app', provider, providers } = given;
    const clock = this.#timetable.watch(false);
    const instance = given.instance ?? `${service}-${this.#applications.size + 1}`;
    const application = new ApplicationWatch(service, instance, this.clock, this.#journal, this.#listenerFaults);
    this.#applications.set(clock, application);
    const swapped = (name: string, factory: ProviderFactory): ProviderFactory =>
      // So is what is no provider.
      typeof factory?.create === 'function' ? this.#inMemory(name, application) : factory;
    const named = Object.entries(providers ?? {}).map(([name, factory]) => [name, swapped(name, factory)] as const);
    return {
      ...given,
      ...(provider === undefined && providers?.['default'] !== undefined
        ? {}
        : { provider: swapped('default', provider ?? memory()) }),
      providers: Object.fromEntries(named),
      instance,
      clock,
      start: 'wait',
      topology: 'create',
      // On a clock that stands still, sends would wait for company for ever.
      buffer: { ...given.buffer, linger: 0 },
    };
  }

  #inMemory(name: string, application: ApplicationWatch): ProviderFactory {
    return {
      kind: 'memory',
      create: (context) => {
        const inner = memory({ broker: this.broker(name) }).create({
          ...context,
          clock: this.#brokerClock,
          onStatus: (status, cause) => {
            if (status === 'disconnected') application.interrupted(name, () => true);
            context.onStatus(status, cause);
          },
        });
        application.binding = inner.binding;
        return new ObservedProvider(inner, context, application);
      },
    };
  }
}

function notRunning(call: string, remedy: string): EventingError {
  return new EventingError('EVT_NOT_RUNNING', `${call}: no application runs on this testEventing(): ${remedy}.`);
}
