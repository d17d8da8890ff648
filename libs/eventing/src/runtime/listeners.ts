import type { EventListener } from '../declare/event-listener.decorator.js';
import type { EventClass } from '../declare/metadata.js';
import { EventingError } from '../errors/eventing.error.js';
import type { ProviderLogger } from '../provider/event-provider.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { SubscriptionPlan } from '../registry/listener.plan.js';
import { announcementLine } from './announcement.js';
import { EventListeners, type ListenerStatus, type ListenerSubscription, type SubscribeOptions } from './event-listeners.js'; // prettier-ignore
import type { Findings } from './findings.js';
import type { Planner } from './planner.js';
import type { RunningSubscription, Subscriptions } from './subscriptions.js';

export interface ListenersOptions {
  readonly registry: EventRegistry;
  readonly findings: Findings;
  readonly planner: Planner;
  readonly subscriptions: Subscriptions;
  readonly logger: ProviderLogger;
  /** Milliseconds for which an end waits for listeners at work. */
  readonly drain: number;
  /** Connects what it runs on, opens it and keeps it. */
  readonly subscribe: (plan: SubscriptionPlan) => Promise<RunningSubscription>;
  readonly isRunning: () => boolean;
}

/** The listeners of one application: those found at the start, and those that were subscribed later. */
export class Listeners extends EventListeners {
  /** What is not subscribed, since the application stands by. */
  #waiting: readonly SubscriptionPlan[] | undefined;

  constructor(private readonly options: ListenersOptions) {
    super();
  }

  /** These are known, and not subscribed; nor is any that comes later. */
  standBy(plans: readonly SubscriptionPlan[]): void {
    this.#waiting = plans;
  }

  override list(): readonly ListenerStatus[] {
    const { planner, subscriptions } = this.options;
    return subscriptions.all().flatMap(({ plan, paused, stopped }) =>
      planner.announce(plan).map((said, index) => {
        const name = plan.listeners[index]?.name ?? '';
        return { ...said, name, paused, ...(stopped === undefined ? {} : { stopped }) };
      }),
    );
  }

  override pause(name: string): void {
    this.#running(name).pause();
  }

  override resume(name: string): void {
    this.#running(name).resume();
  }

  // An async function, so that what is refused rejects.
  override async subscribe<T extends object>(
    events: EventClass<T> | readonly EventClass<T>[],
    handler: EventListener<T>['on'],
    { name, ...options }: SubscribeOptions,
  ): Promise<ListenerSubscription> {
    const { registry, findings, planner, subscriptions, logger, drain } = this.options;
    const definition = {
      label: name,
      options: { ...options, name },
      events: [events].flat().map((type) => registry.describe(type as EventClass)),
      invoke: handler,
    };
    if (!this.options.isRunning() || this.#waiting !== undefined)
      throw new EventingError(
        'EVT_NOT_RUNNING',
        `${name} cannot be subscribed: the application is not started, stands by, or is shutting down.`,
      );
    const isTaken = (other: string): boolean => subscriptions.of(other) !== undefined;
    const plan = planner.planOne(definition, findings.find().pipelines, isTaken);
    const [listener] = plan.listeners;
    const running = await this.options.subscribe(plan);
    for (const said of planner.announce(plan)) logger.log(announcementLine(said));
    return { name: listener.name, unsubscribe: () => subscriptions.end(running, drain) };
  }

  /** The subscription of a listener that may be replayed. @throws EventingError EVT_UNKNOWN_LISTENER, EVT_NOT_RUNNING */
  planOf(listener: string): SubscriptionPlan {
    const waits = this.#waiting?.find(({ listeners }) => listeners.some(({ name }) => name === listener));
    if (this.options.isRunning()) return waits ?? this.#running(listener).plan;
    const text = `${listener} cannot be replayed: the application is not started, or is shutting down.`;
    throw new EventingError('EVT_NOT_RUNNING', text);
  }

  /** Every subscription of this process, added ones included; before the start as well. */
  subscriptionNames(): readonly string[] {
    const { findings, planner } = this.options;
    return [...new Set([...planner.names(findings.find()), ...this.#runningNames()])];
  }

  /** Those of them that are not durable and do not run: what is sent to them is lost. */
  absentNames(): readonly string[] {
    const { findings, planner } = this.options;
    const running = this.#runningNames();
    return planner.transient(findings.find()).filter((name) => !running.has(name));
  }

  #runningNames(): ReadonlySet<string> {
    return new Set(this.options.subscriptions.all().map(({ plan }) => plan.name));
  }

  #running(listener: string): RunningSubscription {
    const running = this.options.subscriptions.of(listener);
    if (running !== undefined) return running;
    const waiting = (this.#waiting ?? []).flatMap(({ listeners }) => listeners.map(({ name }) => name));
    const known = [...this.list().map(({ name }) => name), ...waiting];
    throw new EventingError(
      'EVT_UNKNOWN_LISTENER',
      `No listener "${listener.slice(0, 200)}" runs here: ${known.length === 0 ? 'there is none' : `there are ${known.join(', ')}`}.`,
    );
  }
}
