import type { EventingContext } from '../envelope/eventing.context.js';
import { isTransactional } from '../provider/ability.check.js';
import { foldPipelines } from '../pipeline/fold.js';
import type { SubscriptionHandle } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';
import { AttemptRunner } from '../receive/attempt.runner.js';
import { ExactlyOnceBatch } from '../receive/exactly-once.batch.js';
import { ExactlyOnce } from '../receive/exactly-once.js';
import type { ExceptionHandlers } from '../receive/exception.handlers.js';
import { SubscriptionRunner } from '../receive/subscription.runner.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { SubscriptionPlan } from '../registry/listener.plan.js';
import type { EventPublisher } from '../send/event.publisher.js';
import type { ResolvedOptions } from './eventing.options.js';
import type { Findings } from './findings.js';
import { ReplayTally } from './replay.tally.js';
import { RunningSubscription } from './subscriptions.js';

export interface OpenerOptions {
  readonly options: ResolvedOptions;
  readonly context: EventingContext;
  readonly registry: EventRegistry;
  readonly findings: Findings;
  readonly publisher: EventPublisher;
  readonly host: (provider: string) => ProviderHost;
  /** Known when the start has checked everything. */
  readonly exceptions: () => ExceptionHandlers | undefined;
}

/** A replay that has begun. */
export interface OpenReplay {
  readonly running: RunningSubscription;
  readonly handle: SubscriptionHandle;
  readonly tally: ReplayTally;
}

/** Makes the kernel's half of a subscription, and lets the provider begin to deliver to it. */
export class SubscriptionOpener {
  constructor(private readonly parts: OpenerOptions) {}

  async open(plan: SubscriptionPlan): Promise<RunningSubscription> {
    const { provider } = this.parts.host(plan.provider);
    const [first] = plan.listeners;
    const runner = this.#runner(plan, false);
    const handle = await provider.subscribe(
      {
        name: plan.name,
        channels: plan.channels,
        perProcess: first.perProcess,
        durable: first.durable,
        from: first.from,
        window: first.window,
        ordered: first.order === 'cluster',
        transactional: isTransactional(first, provider.abilities),
      },
      runner,
    );
    return new RunningSubscription(plan, runner, handle);
  }

  /** @param name of the provider's subscription; the plan's name is what dead letters are of */
  async replay(plan: SubscriptionPlan, name: string): Promise<OpenReplay> {
    const [first] = plan.listeners;
    const runner = this.#runner(plan, true);
    const tally = new ReplayTally(runner);
    const handle = await this.parts.host(plan.provider).provider.subscribe(
      {
        name,
        channels: plan.channels,
        perProcess: true,
        durable: false,
        from: first.from,
        window: first.window,
        ordered: first.order === 'cluster',
        transactional: false,
        until: 'now',
      },
      tally,
    );
    return { running: new RunningSubscription(plan, runner, handle), handle, tally };
  }

  #runner(plan: SubscriptionPlan, isReplay: boolean): SubscriptionRunner {
    const { options, context, registry, findings, publisher } = this.parts;
    const { provider } = this.parts.host(plan.provider);
    const { pipelines } = findings.find();
    const exceptions = this.parts.exceptions();
    const attempts = new AttemptRunner(
      context,
      foldPipelines(pipelines, 'handle'),
      options.propagate,
      exceptions?.size === 0 ? undefined : exceptions,
      foldPipelines(pipelines, 'handleBatch'),
      isReplay,
    );
    const transactional = !isReplay && isTransactional(plan.listeners[0], provider.abilities);
    const once = (): ExactlyOnce =>
      new ExactlyOnce({
        ...options,
        provider: plan.provider,
        attempts,
        transactional,
        publish: (name, messages) => publisher.publish(name, messages),
      });
    const exactly = plan.listeners[0].guarantee === 'exactly-once' ? once() : undefined;
    const { inbox } = options;
    return new SubscriptionRunner({
      ...options,
      ...plan,
      provider,
      registry,
      attempts,
      isReplay,
      gathersOutputs: transactional && provider.abilities.gathersOutputs === true,
      once: exactly,
      batchAttempts:
        exactly === undefined || inbox === undefined || plan.listeners[0].batch === undefined
          ? undefined
          : new ExactlyOnceBatch({ service: options.service, inbox, attempts, once: exactly }),
      observer: findings.outward().observer,
    });
  }
}
