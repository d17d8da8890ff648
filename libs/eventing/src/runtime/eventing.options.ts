import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { type Clock, systemClock } from '../clock.js';
import type { EnvelopePipeline } from '../declare/envelope-pipeline.decorator.js';
import type { ListenerOptions } from '../declare/event-listener.decorator.js';
import { isHeaderName } from '../envelope/event.headers.js';
import { EventingError } from '../errors/eventing.error.js';
import type { EventLog } from '../event-log/event-log.js';
import { NoEventLog } from '../event-log/no.event-log.js';
import { memory } from '../memory/memory.provider.js';
import type { ProviderFactory, ProviderLogger } from '../provider/event-provider.js';
import type { Inbox } from '../receive/inbox.js';
import { type EventOverride, Overrides } from '../registry/overrides.js';

export interface EventingOptions {
  /** Names the service: prefix of groups, source of events, owner of the retry and dead-letter addresses. @default 'app' */
  readonly service?: string;
  /** Names this process; unique in the cluster. @default host name, process id and four random digits */
  readonly instance?: string;
  /** What carries the events that name no provider. @default memory() */
  readonly provider?: ProviderFactory;
  /** Further providers, by the name that `@Event({ provider })` gives. @default none */
  readonly providers?: Readonly<Record<string, ProviderFactory>>;
  /**
   * Where handling an event and the record that it was handled commit together, so that a listener of any provider can ask for
   * `guarantee: 'exactly-once'`. @default none
   */
  readonly inbox?: Inbox;
  /** Shows what was sent and handled, as `EventLog`: that of `nestjs-eventing/postgres`. @default none */
  readonly log?: EventLog;
  /** Pipelines whose place matters, outermost first; those not listed are inside them. @default order of registration */
  readonly pipelines?: readonly (new (...args: never[]) => EnvelopePipeline)[];
  /** Create missing topics and queues, or only check that they are there. @default 'create' */
  readonly topology?: 'create' | 'check';
  /** Whether the application's start waits for the brokers. @default 'wait' */
  readonly start?: 'wait' | 'background';
  /** Milliseconds for which `start: 'wait'` waits. @default 60000 */
  readonly startTimeout?: number;
  /** Milliseconds for which a shutdown waits for listeners and sends. @default 20000 */
  readonly drain?: number;
  /** Milliseconds for which listeners at work may delay a rebalance. @default 5000 */
  readonly rebalanceDrain?: number;
  /** Milliseconds for which a send may wait for the broker. @default 30000 */
  readonly publishTimeout?: number;
  /** Bytes of the largest body sent, and handled. @default 1000000 */
  readonly maxBodyBytes?: number;
  readonly buffer?: {
    /** Sends that may be open at one time. @default 65536 */
    readonly maxEvents?: number;
    /** Bytes of bodies in open sends. @default 67108864 */
    readonly maxBytes?: number;
    /** Milliseconds for which sends wait for company. @default 0, the end of the turn of the event loop */
    readonly linger?: number;
  };
  /** Options of events over those of `@Event()`, by name, or `name@version`. @default none */
  readonly events?: Readonly<Record<string, EventOverride>>;
  /** Options of listeners over those of `@EventListener()`, by the name of the listener (that of its class). @default none */
  readonly listeners?: Readonly<Record<string, ListenerOptions>>;
  /**
   * Log lines of events are objects, `{ message, listener, event, id, correlationId, channel, position, attempt, error }`, as loggers that
   * write JSON take them (Nest's with `json: true`, pino). Has no effect on a `logger` of your own, which gets both.
   * @default false
   */
  readonly structuredLogs?: boolean;
  /**
   * Runs the application's global guards, pipes, interceptors and filters on listeners too. Most are written for HTTP.
   * @default false
   */
  readonly globalEnhancers?: boolean;
  /** Headers that events sent while handling inherit from the event handled, besides the trace. @default none */
  readonly propagate?: readonly string[];
  /** @default the system's */
  readonly clock?: Clock;
  /** @default Nest's logger, with the context `Eventing` */
  readonly logger?: ProviderLogger;
}

export interface ResolvedOptions {
  readonly service: string;
  readonly instance: string;
  readonly providers: ReadonlyMap<string, ProviderFactory>;
  readonly inbox: Inbox | undefined;
  readonly log: EventLog;
  readonly pipelines: NonNullable<EventingOptions['pipelines']>;
  readonly events: Overrides<EventOverride>;
  readonly listeners: Overrides<ListenerOptions>;
  readonly globalEnhancers: boolean;
  readonly topology: 'create' | 'check';
  readonly start: 'wait' | 'background';
  readonly startTimeout: number;
  readonly drain: number;
  readonly rebalanceDrain: number;
  readonly publishTimeout: number;
  readonly maxBodyBytes: number;
  readonly buffer: { readonly maxEvents: number; readonly maxBytes: number; readonly linger: number };
  readonly propagate: readonly string[];
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const TRACE = ['traceparent', 'tracestate'];

/** Fills in the defaults and checks everything at once. @throws EventingError EVT_INVALID_OPTIONS naming each option */
export function resolveOptions(options: EventingOptions, logger: ProviderLogger): ResolvedOptions {
  // What a factory that forgot to return gives.
  if (typeof options !== 'object' || options === null)
    throw new EventingError(
      'EVT_INVALID_OPTIONS',
      `EventingModule: the options are ${String(options)}: return an object from useFactory.`,
    );
  const resolved: ResolvedOptions = {
    service: options.service ?? 'app',
    instance: options.instance ?? ownName(),
    providers: new Map(Object.entries({ default: options.provider ?? memory(), ...options.providers })),
    inbox: options.inbox,
    log: options.log ?? new NoEventLog(),
    pipelines: options.pipelines ?? [],
    events: Overrides.ofEvents(options.events),
    listeners: Overrides.ofListeners(options.listeners),
    globalEnhancers: options.globalEnhancers ?? false,
    topology: options.topology ?? 'create',
    start: options.start ?? 'wait',
    startTimeout: options.startTimeout ?? 60_000,
    drain: options.drain ?? 20_000,
    rebalanceDrain: options.rebalanceDrain ?? 5_000,
    publishTimeout: options.publishTimeout ?? 30_000,
    maxBodyBytes: options.maxBodyBytes ?? 1_000_000,
    buffer: {
      maxEvents: options.buffer?.maxEvents ?? 65_536,
      maxBytes: options.buffer?.maxBytes ?? 64 * 1024 * 1024,
      linger: options.buffer?.linger ?? 0,
    },
    propagate: [...TRACE, ...(options.propagate ?? [])],
    clock: options.clock ?? systemClock,
    logger: options.logger ?? logger,
  };
  const problems = [...check(resolved, options)];
  if (problems.length > 0) throw new EventingError('EVT_INVALID_OPTIONS', `EventingModule: ${problems.join('; ')}.`);
  return resolved;
}

function* check(resolved: ResolvedOptions, given: EventingOptions): Iterable<string> {
  for (const name of ['service', 'instance'] as const)
    if (typeof resolved[name] !== 'string' || !NAME.test(resolved[name]))
      yield `${name} "${resolved[name]}" must be 1 to 100 of A-Z a-z 0-9 . _ -`;
  const choices = { topology: ['create', 'check'], start: ['wait', 'background'] } as const;
  for (const name of ['topology', 'start'] as const)
    if (!(choices[name] as readonly string[]).includes(resolved[name]))
      yield `${name} must be one of ${choices[name].join(', ')}`;
  for (const name of ['startTimeout', 'drain', 'rebalanceDrain', 'publishTimeout', 'maxBodyBytes'] as const)
    if (!isCount(resolved[name])) yield `${name} must be a number of at least 1`;
  for (const name of ['maxEvents', 'maxBytes'] as const)
    if (!isCount(resolved.buffer[name])) yield `buffer.${name} must be a number of at least 1`;
  if (!(resolved.buffer.linger >= 0)) yield 'buffer.linger must be a number of at least 0';
  for (const header of given.propagate ?? [])
    if (!isHeaderName(header)) yield `propagate: "${header}" cannot be a header`;
  for (const [name, factory] of resolved.providers)
    if (typeof factory?.create !== 'function')
      yield `provider "${name}" must be a factory such as memory() or kafka({ … })`;
  if (resolved.inbox !== undefined && typeof resolved.inbox?.once !== 'function')
    yield 'inbox must have a method once(), as that of nestjs-eventing/postgres';
  if (typeof resolved.log?.open !== 'function')
    yield 'log must be an EventLog, such as the PostgresEventLog of nestjs-eventing/postgres';
  yield* resolved.events.malformed();
  yield* resolved.listeners.malformed();
  if (given.provider !== undefined && given.providers?.['default'] !== undefined)
    yield 'provider and providers.default are both given: keep one';
}

const isCount = (value: number): boolean => Number.isFinite(value) && value >= 1;

function ownName(): string {
  const host = hostname()
    .replace(/[^A-Za-z0-9.-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, 60);
  return `${host === '' ? 'host' : host}-${process.pid}-${randomBytes(2).toString('hex')}`;
}
