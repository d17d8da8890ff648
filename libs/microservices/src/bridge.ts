import { Logger } from '@nestjs/common';
import {
  EventingError,
  type EventingOptions,
  EventingRuntime,
  type EnvelopePipeline,
  type ListenerSource,
  resolveOptions,
} from 'nestjs-eventing';

/** Where a transport or a client gets its connection: from the application's `EventingModule`, or by options of its own. */
export interface BridgeOptions extends Omit<EventingOptions, 'pipelines' | 'globalEnhancers'> {
  /**
   * The application's runtime, `app.get(EventingRuntime)`: one connection, its pipelines, its context, its start and its
   * drain. No other option of eventing may be given beside it.
   * @default a runtime of its own, of the options here
   */
  readonly runtime?: EventingRuntime;
  /** Pipelines of a runtime of its own, outermost first. @default none */
  readonly pipelines?: readonly EnvelopePipeline[];
}

/** What a bridge takes for itself. All other options are those of eventing, which a runtime has already. */
const BRIDGE: readonly string[] = [
  'runtime',
  'pipelines',
  'eventClasses',
  'packets',
  'channel',
  'handlers',
  'requestHandlers',
  'transportId',
  'requests',
  'timeout',
  'maxRequests',
];

/** The runtime that a bridge works with. */
export class Bridge {
  private constructor(
    readonly runtime: EventingRuntime,
    /** It starts and stops with the bridge; else with its application. */
    readonly isOwn: boolean,
  ) {}

  /** @throws EventingError EVT_INVALID_OPTIONS; EVT_BRIDGE_LATE where the application has started */
  static to(what: string, options: BridgeOptions, source?: ListenerSource): Bridge {
    const { runtime } = options;
    if (runtime === undefined) return new Bridge(ownRuntime(options, source), true);
    const beside = Object.keys(eventingOptions(options));
    if (options.pipelines !== undefined) beside.push('pipelines');
    if (beside.length > 0)
      throw new EventingError(
        'EVT_INVALID_OPTIONS',
        `${what}: ${beside.join(', ')} cannot be given beside runtime: they are the application's.`,
      );
    if (source !== undefined) runtime.add(source);
    return new Bridge(runtime, false);
  }
}

function ownRuntime(options: BridgeOptions, source: ListenerSource | undefined): EventingRuntime {
  const { pipelines = [] } = options;
  return new EventingRuntime(resolveOptions(eventingOptions(options), new Logger('Eventing')), (registry) => ({
    pipelines: pipelines.map((pipeline) => ({ label: pipeline.constructor.name, pipeline })),
    ...(source?.(registry) ?? { listeners: [], problems: [] }),
  }));
}

function eventingOptions(options: BridgeOptions): EventingOptions {
  const given = Object.entries(options).filter(([name, value]) => !BRIDGE.includes(name) && value !== undefined);
  return Object.fromEntries(given);
}
