import { DeadLetters } from '../dead-letters/dead-letters.js';
import { EventingContext } from '../envelope/eventing.context.js';
import { EventingError } from '../errors/eventing.error.js';
import { ProviderHost } from '../provider/provider.host.js';
import type { ExceptionHandlers } from '../receive/exception.handlers.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import { EventRegistry } from '../registry/event.registry.js';
import type { SubscriptionPlan } from '../registry/listener.plan.js';
import { EventManager } from '../send/event.manager.js';
import { EventPublisher } from '../send/event.publisher.js';
import { announcementLine, type ListenerAnnouncement } from './announcement.js';
import type { ResolvedOptions } from './eventing.options.js';
import type { EventListeners } from './event-listeners.js';
import { EventingHealth } from './eventing.health.js';
import { type Discovered, Findings, type ListenerSource } from './findings.js';
import type { EventReplays } from './event-replays.js';
import { Listeners } from './listeners.js';
import { Planner } from './planner.js';
import { Replays } from './replays.js';
import { Shutdown } from './shutdown.js';
import { SubscriptionOpener } from './subscription.opener.js';
import { type RunningSubscription, Subscriptions } from './subscriptions.js';
import { within } from './within.js';

/**
 * One application's eventing, without Nest: puts the parts together, starts them in order and stops them in order. The Nest
 * module is a thin coat over it, and so is the conformance suite.
 */
export class EventingRuntime {
  readonly context = new EventingContext();
  readonly registry: EventRegistry;
  readonly events: EventManager;
  readonly publisher: EventPublisher;
  readonly deadLetters: DeadLetters;
  readonly listeners: EventListeners;
  readonly replays: EventReplays;
  readonly health: EventingHealth;
  readonly #hosts: ReadonlyMap<string, ProviderHost>;
  readonly #hostByEvent = new Map<EventDescriptor, ProviderHost>();
  readonly #findings: Findings;
  #exceptions: ExceptionHandlers | undefined;
  readonly #planner: Planner;
  readonly #subscriptions = new Subscriptions();
  readonly #listeners: Listeners;
  readonly #opener: SubscriptionOpener;
  #announced: readonly ListenerAnnouncement[] = [];
  #standsBy = false;
  #state: 'new' | 'starting' | 'running' | 'stopped' = 'new';
  #stopping: Promise<void> | undefined;
  #connected: Promise<void> | undefined;

  /**
   * @param discover is called at the start; and before, if something is sent before: then perhaps not everything is there yet
   */
  constructor(
    readonly options: ResolvedOptions,
    discover: (registry: EventRegistry) => Discovered,
  ) {
    this.registry = new EventRegistry(options.events);
    this.#findings = new Findings(this.registry, discover, (text) => options.logger.warn(text));
    this.#hosts = new Map(
      [...options.providers].map(([name, factory]) => [
        name,
        new ProviderHost(factory, { ...options, name }, options.buffer, (provider) => this.#channels(provider)),
      ]),
    );
    this.#planner = new Planner(options, this.registry, this.#hosts);
    this.events = new EventManager({
      service: options.service,
      registry: this.registry,
      context: this.context,
      pipelines: () => this.#findings.outward().send,
      observer: () => this.#findings.outward().observer,
      host: (event) => this.#hostOf(event),
      clock: options.clock,
    });
    this.publisher = new EventPublisher(this.#hosts);
    this.#listeners = new Listeners({
      registry: this.registry,
      findings: this.#findings,
      planner: this.#planner,
      subscriptions: this.#subscriptions,
      logger: options.logger,
      drain: options.drain,
      subscribe: async (plan) => {
        await this.#host(plan.provider).connect();
        return this.#subscribe(plan);
      },
      isRunning: () => this.#state === 'running',
    });
    this.listeners = this.#listeners;
    this.deadLetters = new DeadLetters({
      ...options,
      hosts: [...this.#hosts.values()],
      registry: this.registry,
      listeners: () => this.#listeners.subscriptionNames(),
      absent: () => this.#listeners.absentNames(),
    });
    this.#opener = new SubscriptionOpener({
      options,
      context: this.context,
      registry: this.registry,
      publisher: this.publisher,
      host: (name) => this.#host(name),
      findings: this.#findings,
      exceptions: () => this.#exceptions,
    });
    this.replays = new Replays({
      opener: this.#opener,
      subscriptions: this.#subscriptions,
      drain: options.drain,
      host: (name) => this.#host(name),
      plan: (listener) => this.#listeners.planOf(listener),
    });
    this.health = new EventingHealth(this.#hosts, this.#subscriptions, options.clock, () => this.ready);
  }

  /**
   * Adds listeners that discovery does not find; asked as discovery is, after it.
   * @throws EventingError EVT_BRIDGE_LATE once the start has begun
   */
  add(source: ListenerSource): void {
    if (this.#state !== 'new') {
      const text = `Listeners were added to "${this.options.service}" after its start: connect what brings them before app.init().`;
      throw new EventingError('EVT_BRIDGE_LATE', text);
    }
    this.#findings.add(source);
  }

  /**
   * Before the start: checks and connects as ever, and subscribes no listener, nor does an outbox publish. For tools that boot an
   * application for its replays alone. What is sent goes out; its events are handled by the processes that are live.
   */
  standBy(): void {
    this.#standsBy = true;
  }

  /** The service's name. */
  get service(): string {
    return this.options.service;
  }

  /** What the start said of each listener. */
  get announcements(): readonly ListenerAnnouncement[] {
    return this.#announced;
  }

  /** Connected and subscribed. */
  get ready(): boolean {
    return (
      this.#state === 'running' && [...this.#hosts.values()].every((host) => !host.used || host.status === 'connected')
    );
  }

  /**
   * Checks everything, says what it found, connects and subscribes. Under `start: 'background'` it resolves after the checks.
   * @throws EventingError the one thing that is wrong, or EVT_START_REFUSED listing all; EVT_START_TIMEOUT; what a provider threw
   */
  async start(): Promise<void> {
    if (this.#state !== 'new') return;
    this.#state = 'starting';
    const { logger, startTimeout, clock, log } = this.options;
    log.open({ ...this.options, deadLetters: this.deadLetters, housekeeping: !this.#standsBy });
    let plans: SubscriptionPlan[];
    try {
      this.#findings.forget();
      const planned = this.#planner.plan(this.#findings.find());
      plans = planned.plans;
      if (this.#standsBy) this.#listeners.standBy(plans);
      this.#exceptions = planned.exceptions;
      this.#announced = plans.flatMap((plan) => this.#planner.announce(plan));
    } catch (error) {
      // Something that was sent while modules initialized may have connected already.
      await this.stop();
      throw error;
    }
    for (const said of this.#announced) {
      logger.log(announcementLine(said));
      if (said.namedByClass)
        logger.debug(`${said.listener} gives its durable subscription its name: set name before you rename the class`);
    }
    const connected = this.#connect(plans);
    this.#connected = connected;
    if (this.options.start === 'background' && !this.#standsBy) {
      connected.catch((error: unknown) =>
        logger.error(`Eventing did not start: ${error instanceof Error ? error.message : String(error)}`),
      );
      return;
    }
    try {
      if (!(await within(connected, startTimeout, clock))) throw startTimeoutError(startTimeout, this.#hosts.values());
    } catch (error) {
      connected.catch(() => undefined);
      await this.stop();
      throw error;
    }
  }

  /**
   * Stops in order: no new deliveries, listeners finish (at most `drain`), what they sent is published, positions are written
   * down, connections close. Deliveries that only wait go back at once. Never rejects.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#state = 'stopped';
    const shutdown = new Shutdown(this.options);
    await this.#subscriptions.stop(shutdown);
    await shutdown.drain(this.publisher.stop());
    const hosts = [...this.#hosts.values()];
    const flush = (flushed: Promise<void>): Promise<void> => shutdown.drain(flushed);
    await Promise.all(hosts.map((host) => shutdown.close(`${host.name} (${host.provider.kind})`, host.stop(flush))));
    if (this.options.inbox?.stop !== undefined) await shutdown.close('The inbox', this.options.inbox.stop());
    // A start that was under way ends now too: nothing is to run after this.
    if (this.#connected !== undefined) await shutdown.drain(this.#connected);
    await shutdown.close('The event log', this.options.log.close());
    this.context.close();
  }

  async #connect(plans: readonly SubscriptionPlan[]): Promise<void> {
    const used = new Set([
      ...plans.map((plan) => plan.provider),
      ...this.registry.all().map((event) => event.provider),
    ]);
    await Promise.all([this.options.inbox?.start?.(), ...[...used].map((name) => this.#host(name).connect())]);
    if (!this.#standsBy) await Promise.all(plans.map((plan) => this.#subscribe(plan)));
    if (this.#state !== 'starting') return;
    this.#state = 'running';
    if (!this.#standsBy) this.publisher.start();
  }

  async #subscribe(plan: SubscriptionPlan): Promise<RunningSubscription> {
    const running = await this.#opener.open(plan);
    this.#subscriptions.add(running);
    if (this.#state === 'stopped') await this.#subscriptions.end(running, this.options.drain);
    return running;
  }

  /** What kind of provider goes by this name: `kafka`, `memory`. @throws EventingError EVT_UNKNOWN_PROVIDER */
  kindOf(provider: string): string {
    return this.#host(provider).provider.kind;
  }

  #host(provider: string): ProviderHost {
    return this.#planner.host(provider);
  }

  /** Where an event goes. One that was not known at the start is checked when it is first sent. */
  #hostOf(event: EventDescriptor): ProviderHost {
    const known = this.#hostByEvent.get(event);
    if (known !== undefined) return known;
    const [refusal] = this.#planner.eventRefusals(event);
    if (refusal !== undefined) throw refusal;
    const host = this.#host(event.provider);
    this.#hostByEvent.set(event, host);
    return host;
  }

  #channels(provider: string): { name: string; durable: boolean }[] {
    // Also where a send comes before the start: those that are listened to are wanted as well.
    this.#findings.find();
    const channels = new Map(
      this.registry
        .all()
        .filter((event) => event.provider === provider)
        .map((event) => [event.channel, event.durable]),
    );
    return [...channels].map(([name, durable]) => ({ name, durable }));
  }
}

function startTimeoutError(milliseconds: number, hosts: Iterable<ProviderHost>): EventingError {
  const away = [...hosts]
    .filter((host) => host.used && host.status !== 'connected')
    .map((host) => `"${host.name}" (${host.provider.kind})`);
  return new EventingError(
    'EVT_START_TIMEOUT',
    `${away.length === 0 ? 'A subscription' : away.join(', ')} was not ready within ${milliseconds} ms: see that the broker runs, raise startTimeout, or set start: 'background'.`,
  );
}
