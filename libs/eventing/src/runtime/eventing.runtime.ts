import { DeadLetters } from '../dead-letters/dead-letters.js';
import type { EnvelopePipeline } from '../declare/envelope-pipeline.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import { EventingContext } from '../envelope/eventing.context.js';
import { EventingError } from '../errors/eventing.error.js';
import { type Composed, compose, type Step } from '../pipeline/compose.js';
import { eventRefusals, refusals } from '../provider/ability.check.js';
import type { SubscriptionHandle } from '../provider/event-provider.js';
import { ProviderHost } from '../provider/provider.host.js';
import { AttemptRunner } from '../receive/attempt.runner.js';
import { ExceptionHandlers, type FoundExceptionHandler } from '../receive/exception.handlers.js';
import { SubscriptionRunner } from '../receive/subscription.runner.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDefinition, ListenerDescriptor } from '../registry/listener.descriptor.js';
import { describeListener, planSubscriptions, type SubscriptionPlan } from '../registry/listener.plan.js';
import { EventManager } from '../send/event.manager.js';
import { announce, announcementLine, type ListenerAnnouncement } from './announcement.js';
import type { ResolvedOptions } from './eventing.options.js';
import { within } from './within.js';

/** What an application is made of, found when it is first needed. */
export interface Discovered {
  /** Outermost first. */
  readonly pipelines: readonly { readonly label: string; readonly pipeline: EnvelopePipeline }[];
  readonly listeners: readonly ListenerDefinition[];
  /** @default none */
  readonly exceptionHandlers?: readonly FoundExceptionHandler[];
  /** What is wrong with what was found; any of it refuses the start. */
  readonly problems: readonly EventingError[];
}

interface Running {
  readonly plan: SubscriptionPlan;
  readonly runner: SubscriptionRunner;
  readonly handle: SubscriptionHandle;
}

/**
 * One application's eventing, without Nest: puts the parts together, starts them in order and stops them in order. The Nest
 * module is a thin coat over it, and so is the conformance suite.
 */
export class EventingRuntime {
  readonly context = new EventingContext();
  readonly registry = new EventRegistry();
  readonly events: EventManager;
  readonly deadLetters: DeadLetters;
  readonly #hosts: ReadonlyMap<string, ProviderHost>;
  readonly #hostByEvent = new Map<EventDescriptor, ProviderHost>();
  #found: Discovered | undefined;
  #exceptions: ExceptionHandlers | undefined;
  #running: Running[] = [];
  #announced: readonly ListenerAnnouncement[] = [];
  #state: 'new' | 'starting' | 'running' | 'stopped' = 'new';
  #stopping: Promise<void> | undefined;
  #connected: Promise<void> | undefined;
  /** What the sends of pipelines were folded into; made anew when what was found is found anew. */
  #outward: { readonly send: Composed<Envelope, EventDescriptor> | undefined } | undefined;

  /**
   * @param discover is called at the start; and before, if something is sent before: then perhaps not everything is there yet
   */
  constructor(
    private readonly options: ResolvedOptions,
    private readonly discover: (registry: EventRegistry) => Discovered,
  ) {
    this.#hosts = new Map(
      [...options.providers].map(([name, factory]) => [
        name,
        new ProviderHost(factory, { ...options, name }, options.buffer, (provider) => this.#channels(provider)),
      ]),
    );
    this.events = new EventManager({
      service: options.service,
      registry: this.registry,
      context: this.context,
      pipelines: () =>
        (this.#outward ??= { send: composed(this.#discovered(), 'send', (pipeline) => pipeline.send?.bind(pipeline)) })
          .send,
      host: (event) => this.#hostOf(event),
      clock: options.clock,
    });
    this.deadLetters = new DeadLetters([...this.#hosts.values()]);
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
    const { logger, startTimeout, clock } = this.options;
    let plans: SubscriptionPlan[];
    try {
      plans = this.#plan();
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
    if (this.options.start === 'background') {
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
    const { clock, drain } = this.options;
    this.#state = 'stopped';
    const deadline = clock.now() + drain;
    const left = (): number => Math.max(1, deadline - clock.now());
    for (const { handle } of this.#running) handle.pause();
    await Promise.all(this.#running.map(({ runner }) => runner.drain(left())));
    await Promise.all(this.#running.map(({ handle }) => handle.stop()));
    this.#running = [];
    await Promise.all(
      [...this.#hosts.values()].map((host) =>
        host.stop((flushed) => within(flushed, left(), clock).then(() => undefined)),
      ),
    );
    // A start that was under way ends now too: nothing is to run after this.
    if (this.#connected !== undefined) await within(this.#connected, left(), clock).catch(() => undefined);
  }

  /** Resolves everything that listeners and events ask for, and refuses what cannot be had: all of it at once. */
  #plan(): SubscriptionPlan[] {
    this.#found = undefined;
    this.#outward = undefined;
    const found = this.#discovered();
    const problems = [...found.problems];
    const listeners: ListenerDescriptor[] = [];
    for (const definition of found.listeners)
      try {
        listeners.push(describeListener(definition));
      } catch (error) {
        problems.push(error as EventingError);
      }
    problems.push(...batchRefusals(listeners, found));
    const plans = planSubscriptions(listeners, problems);
    this.#exceptions = new ExceptionHandlers(found.exceptionHandlers ?? [], this.options.logger, problems);
    for (const event of this.registry.all()) {
      const host = this.#hosts.get(event.provider);
      if (host === undefined) problems.push(this.#unknownProvider(event.provider, event.type.name));
      else problems.push(...eventRefusals(event, host.provider.kind, host.provider.abilities));
    }
    for (const listener of listeners) {
      const host = this.#hosts.get(listener.provider);
      if (host !== undefined) problems.push(...refusals(listener, host.provider.kind, host.provider.abilities));
    }
    if (problems.length === 1) throw problems[0] as EventingError;
    if (problems.length > 1)
      throw new EventingError(
        'EVT_START_REFUSED',
        `${problems.length} things must be mended first:\n${problems.map(({ code, message }) => `  ${code} ${message}`).join('\n')}`,
        { cause: new AggregateError(problems) },
      );
    this.#announced = plans.flatMap((plan) =>
      announce(this.options.service, this.#host(plan.provider).provider.kind, plan),
    );
    return plans;
  }

  async #connect(plans: readonly SubscriptionPlan[]): Promise<void> {
    const used = new Set([
      ...plans.map((plan) => plan.provider),
      ...this.registry.all().map((event) => event.provider),
    ]);
    await Promise.all([...used].map((name) => this.#host(name).connect()));
    await Promise.all(plans.map((plan) => this.#subscribe(plan)));
    if (this.#state === 'starting') this.#state = 'running';
  }

  async #subscribe(plan: SubscriptionPlan): Promise<void> {
    const { options, registry } = this;
    const { provider } = this.#host(plan.provider);
    const [first] = plan.listeners;
    const pipelines = composed<Envelope, ListenerDescriptor>(this.#discovered(), 'handle', (pipeline) =>
      pipeline.handle?.bind(pipeline),
    );
    const exceptions = this.#exceptions?.size === 0 ? undefined : this.#exceptions;
    const batchPipelines =
      first.batch === undefined
        ? undefined
        : composed<readonly Envelope[], ListenerDescriptor>(this.#discovered(), 'handleBatch', (pipeline) =>
            pipeline.handleBatch?.bind(pipeline),
          );
    const attempts = new AttemptRunner(this.context, pipelines, options.propagate, exceptions, batchPipelines);
    const runner = new SubscriptionRunner({ ...options, ...plan, provider, registry, attempts });
    const handle = await provider.subscribe(
      {
        name: plan.name,
        channels: plan.channels,
        perProcess: first.perProcess,
        durable: first.durable,
        from: first.from,
        window: first.window,
        ordered: first.order === 'cluster',
      },
      runner,
    );
    if (this.#state !== 'stopped') {
      this.#running.push({ plan, runner, handle });
      return;
    }
    handle.pause();
    await runner.drain(this.options.drain);
    await handle.stop();
  }

  #discovered(): Discovered {
    this.#found ??= this.discover(this.registry);
    return this.#found;
  }

  #host(provider: string): ProviderHost {
    const host = this.#hosts.get(provider);
    if (host === undefined) throw this.#unknownProvider(provider, 'An event');
    return host;
  }

  /** Where an event goes. One that was not known at the start is checked when it is first sent. */
  #hostOf(event: EventDescriptor): ProviderHost {
    const known = this.#hostByEvent.get(event);
    if (known !== undefined) return known;
    const host = this.#hosts.get(event.provider);
    if (host === undefined) throw this.#unknownProvider(event.provider, event.type.name);
    const [refusal] = eventRefusals(event, host.provider.kind, host.provider.abilities);
    if (refusal !== undefined) throw refusal;
    this.#hostByEvent.set(event, host);
    return host;
  }

  #unknownProvider(provider: string, event: string): EventingError {
    const known = [...this.#hosts.keys()].join(', ');
    const text = `${event} names the provider "${provider}"; configured are ${known}: add it to EventingModule's providers.`;
    return new EventingError('EVT_UNKNOWN_PROVIDER', text);
  }

  #channels(provider: string): { name: string; durable: boolean }[] {
    // Also where a send comes before the start: those that are listened to are wanted as well.
    this.#discovered();
    const channels = new Map(
      this.registry
        .all()
        .filter((event) => event.provider === provider)
        .map((event) => [event.channel, event.durable]),
    );
    return [...channels].map(([name, durable]) => ({ name, durable }));
  }
}

/** `undefined` where no pipeline has the method: nothing bound costs nothing. */
function composed<E, D>(
  found: Discovered,
  method: 'send' | 'handle' | 'handleBatch',
  bound: (pipeline: EnvelopePipeline) => Step<E, D>['run'] | undefined,
): Composed<E, D> | undefined {
  const steps = found.pipelines.flatMap(({ label, pipeline }) => {
    const run = bound(pipeline);
    return run === undefined ? [] : [{ name: `${label}.${method}`, run }];
  });
  return steps.length === 0 ? undefined : compose(steps);
}

/** A pipeline that restores a session for each event would leave a batch without any. */
function* batchRefusals(listeners: readonly ListenerDescriptor[], found: Discovered): Iterable<EventingError> {
  const batch = listeners.find((listener) => listener.batch !== undefined);
  if (batch === undefined) return;
  for (const { label, pipeline } of found.pipelines)
    if (pipeline.handle !== undefined && pipeline.handleBatch === undefined)
      yield new EventingError(
        'EVT_BATCH_PIPELINE',
        `${label} has handle() and no handleBatch(), and ${batch.label} takes batches: write handleBatch(envelopes, listener, next).`,
      );
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
