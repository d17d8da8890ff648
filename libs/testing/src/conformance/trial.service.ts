import {
  type DeadLetter,
  type Envelope,
  type EnvelopePipeline,
  type EventClass,
  EventingRuntime,
  type EventingOptions,
  type ProviderFactory,
  type ProviderLogger,
  type Abilities,
  type ListenerOptions,
  type EventDescriptor,
  resolveOptions,
  type SendOptions,
} from 'nestjs-eventing';
import type { ListenerPlan } from './journal.js';
import type { Sample } from './sample.event.js';

/** What runs in one process of a case. */
export interface ServicePlan {
  /** @default the service of the case */
  readonly service?: string;
  readonly listeners?: readonly ListenerPlan[];
  /** Events that it sends, known to it from its start. */
  readonly sends?: readonly EventClass<Sample>[];
  /** Outermost first. */
  readonly pipelines?: readonly EnvelopePipeline[];
  readonly options?: Pick<EventingOptions, 'startTimeout' | 'drain' | 'rebalanceDrain' | 'publishTimeout'>;
}

/** One process: an application without Nest, made of the real kernel and the provider under test. */
export class TrialService {
  readonly runtime: EventingRuntime;

  constructor(
    readonly service: string,
    readonly instance: string,
    plan: ServicePlan,
    provider: ProviderFactory,
    abilities: Abilities,
    logger: ProviderLogger,
  ) {
    const options = resolveOptions({ ...plan.options, service, instance, provider, logger }, logger);
    this.runtime = new EventingRuntime(options, (registry) => {
      for (const event of plan.sends ?? []) registry.describe(event);
      return {
        problems: [],
        pipelines: (plan.pipelines ?? []).map((pipeline, index) => ({ label: `Pipeline${index}`, pipeline })),
        listeners: (plan.listeners ?? []).map((listener) => {
          const events = listener.events.map((event) => registry.describe(event));
          const options = { ...modest(events, abilities), ...listener.options };
          return { label: listener.name, events, options, invoke: listener.invokeIn(service, instance) };
        }),
      };
    });
  }

  send(event: EventClass<Sample>, body: Sample, options?: SendOptions): Promise<Envelope<Sample>> {
    return this.runtime.events.sendEvent(event, body, options);
  }

  /** Sends one after the other without waiting in between. */
  async sendAll(event: EventClass<Sample>, bodies: readonly Sample[], options?: SendOptions): Promise<void> {
    await Promise.all(bodies.map((body) => this.send(event, body, options)));
  }

  /** All dead letters of its service. */
  async letters(): Promise<DeadLetter[]> {
    const letters: DeadLetter[] = [];
    for await (const letter of this.runtime.deadLetters.all()) letters.push(letter);
    return letters;
  }
}

/** Asks for no more than the provider can give: what a case is not about must not refuse its start. */
function modest(events: readonly EventDescriptor[], { order, durable }: Abilities): ListenerOptions {
  return {
    ...(order !== 'cluster' && events.some(({ keyed }) => keyed) ? { order } : {}),
    ...(durable === false ? { durable: false } : {}),
  };
}
