import { EventingError } from '../errors/eventing.error.js';
import type { FoundPipeline } from '../pipeline/fold.js';
import { eventRefusals, isTransactional, refusals } from '../provider/ability.check.js';
import type { ProviderHost } from '../provider/provider.host.js';
import { ExceptionHandlers } from '../receive/exception.handlers.js';
import type { Inbox } from '../receive/inbox.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDefinition, ListenerDescriptor } from '../registry/listener.descriptor.js';
import { describeListener, planSubscriptions, type SubscriptionPlan } from '../registry/listener.plan.js';
import { announce, type ListenerAnnouncement } from './announcement.js';
import type { ResolvedOptions } from './eventing.options.js';
import type { Discovered } from './findings.js';

/** Resolves what listeners and events ask for, and refuses what cannot be had: all of it at once. */
export class Planner {
  constructor(
    private readonly options: ResolvedOptions,
    private readonly registry: EventRegistry,
    private readonly hosts: ReadonlyMap<string, ProviderHost>,
  ) {}

  /** Everything that was found. @throws EventingError the one thing that is wrong, or EVT_START_REFUSED listing all */
  plan(found: Discovered): { readonly plans: SubscriptionPlan[]; readonly exceptions: ExceptionHandlers } {
    const problems = [...found.problems];
    const listeners: ListenerDescriptor[] = [];
    for (const definition of found.listeners)
      try {
        listeners.push(this.#describe(definition));
      } catch (error) {
        problems.push(error as EventingError);
      }
    const events = this.registry.all();
    problems.push(...this.options.listeners.unmatched(found.listeners.map(nameOf)));
    problems.push(...this.options.events.unmatched([...new Set(events.map(({ name }) => name))]));
    problems.push(...batchRefusals(listeners, found.pipelines));
    const plans = planSubscriptions(listeners, problems);
    const exceptions = new ExceptionHandlers(found.exceptionHandlers ?? [], this.options.logger, problems);
    problems.push(...events.flatMap((event) => this.eventRefusals(event)));
    problems.push(...listeners.flatMap((listener) => this.#refusals(listener)));
    throwAll(problems);
    return { plans, exceptions };
  }

  /**
   * One listener more, while the application runs. @param isTaken whether a listener of this name runs already
   * @throws as `plan`
   */
  planOne(
    definition: ListenerDefinition,
    pipelines: readonly FoundPipeline[],
    isTaken: (name: string) => boolean,
  ): SubscriptionPlan {
    const listener = this.#describe(definition);
    const problems = [
      ...listener.events.flatMap((event) => this.eventRefusals(event)),
      ...this.#refusals(listener),
      ...batchRefusals([listener], pipelines),
    ];
    if (isTaken(listener.name)) {
      const text = `A listener "${listener.name}" runs already: give this one another name, or unsubscribe that one first.`;
      problems.push(new EventingError('EVT_DUPLICATE_LISTENER', text));
    }
    const [plan] = planSubscriptions([listener], problems);
    throwAll(problems);
    return plan as SubscriptionPlan;
  }

  /** The subscriptions of what was found, whether they can be had or not. */
  names({ listeners }: Discovered): string[] {
    return listeners.map((definition) => this.#subscriptionOf(definition));
  }

  /** Those of them that end with their processes. */
  transient({ listeners }: Discovered): string[] {
    const passing = listeners.filter((definition) => {
      const { durable, perProcess } = this.options.listeners.over(definition.options, nameOf(definition));
      return !(durable ?? perProcess !== true);
    });
    return passing.map((definition) => this.#subscriptionOf(definition));
  }

  #subscriptionOf(definition: ListenerDefinition): string {
    const { group, name } = this.options.listeners.over(definition.options, nameOf(definition));
    return group ?? name ?? definition.label;
  }

  announce(plan: SubscriptionPlan): ListenerAnnouncement[] {
    const { kind, abilities } = this.host(plan.provider).provider;
    const means = [
      ...(isTransactional(plan.listeners[0], abilities) ? ['transactions'] : []),
      ...(this.options.inbox ? ['inbox'] : []),
    ];
    return announce(this.options.service, kind, plan, means.join(' and '));
  }

  /** @throws EventingError EVT_UNKNOWN_PROVIDER */
  host(provider: string): ProviderHost {
    const host = this.hosts.get(provider);
    if (host === undefined) throw this.#unknownProvider(provider, 'An event');
    return host;
  }

  eventRefusals(event: EventDescriptor): EventingError[] {
    const host = this.hosts.get(event.provider);
    if (host === undefined) return [this.#unknownProvider(event.provider, event.type.name)];
    return [...eventRefusals(event, host.provider.kind, host.provider.abilities)];
  }

  #describe(definition: ListenerDefinition): ListenerDescriptor {
    const options = this.options.listeners.over(definition.options, nameOf(definition));
    return describeListener({ ...definition, options });
  }

  /** What its provider cannot do for it. A provider that is not there is refused with the event. */
  #refusals(listener: ListenerDescriptor): EventingError[] {
    const host = this.hosts.get(listener.provider);
    if (host === undefined) return [];
    const { inbox } = this.options;
    const { kind, abilities } = host.provider;
    const own = [...inboxRefusals(listener, inbox)];
    return [...refusals(listener, kind, abilities, inbox !== undefined || own.length > 0), ...own];
  }

  #unknownProvider(provider: string, event: string): EventingError {
    const known = [...this.hosts.keys()].join(', ');
    const text = `${event} names the provider "${provider}"; configured are ${known}: add it to EventingModule's providers.`;
    return new EventingError('EVT_UNKNOWN_PROVIDER', text);
  }
}

/** What configuration knows a listener by. */
const nameOf = ({ options, label }: ListenerDefinition): string => options.name ?? label;

/** The events of a batch are settled one by one, so that no transaction of a provider can be theirs. */
function* inboxRefusals(listener: ListenerDescriptor, inbox: Inbox | undefined): Iterable<EventingError> {
  if (listener.batch === undefined || listener.guarantee !== 'exactly-once' || inbox?.onceAll !== undefined) return;
  const why = inbox === undefined ? 'only an inbox can give that' : 'its inbox takes no batches (no onceAll())';
  yield new EventingError(
    'EVT_UNSUPPORTED',
    `${listener.label} asks for batches with guarantee: 'exactly-once', and ${why}: give EventingModule that of nestjs-eventing/postgres, leave batch out, or be 'at-least-once' and idempotent.`,
  );
}

/** A pipeline that restores a session for each event would leave a batch without any. */
function* batchRefusals(
  listeners: readonly ListenerDescriptor[],
  pipelines: readonly FoundPipeline[],
): Iterable<EventingError> {
  const batch = listeners.find((listener) => listener.batch !== undefined);
  if (batch === undefined) return;
  for (const { label, pipeline } of pipelines)
    if (pipeline.handle !== undefined && pipeline.handleBatch === undefined)
      yield new EventingError(
        'EVT_BATCH_PIPELINE',
        `${label} has handle() and no handleBatch(), and ${batch.label} takes batches: write handleBatch(envelopes, listener, next).`,
      );
}

/** The one thing that is wrong, or all of them. */
function throwAll(problems: readonly EventingError[]): void {
  const [first] = problems;
  if (first === undefined) return;
  if (problems.length === 1) throw first;
  throw new EventingError(
    'EVT_START_REFUSED',
    `${problems.length} things must be mended first:\n${problems.map(({ code, message }) => `  ${code} ${message}`).join('\n')}`,
    { cause: new AggregateError(problems) },
  );
}
