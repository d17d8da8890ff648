import {
  type DynamicModule,
  type FactoryProvider,
  Inject,
  Module,
  type ModuleMetadata,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
  Scope,
} from '@nestjs/common';
import { DiscoveryModule, ModulesContainer, REQUEST } from '@nestjs/core';
import { DeadLetters } from '../dead-letters/dead-letters.js';
import type { EventClass } from '../declare/metadata.js';
import { Envelope } from '../envelope/envelope.js';
import { EventingContext } from '../envelope/eventing.context.js';
import { EventingError } from '../errors/eventing.error.js';
import { EventLog } from '../event-log/event-log.js';
import type { EventRegistry } from '../registry/event.registry.js';
import { type EventingOptions, type ResolvedOptions, resolveOptions } from '../runtime/eventing.options.js';
import { EventingRuntime } from '../runtime/eventing.runtime.js';
import type { Discovered } from '../runtime/findings.js';
import { EventManager } from '../send/event.manager.js';
import { EventPublisher } from '../send/event.publisher.js';
import { EventingHealth } from '../runtime/eventing.health.js';
import { EventListeners } from '../runtime/event-listeners.js';
import { EventReplays } from '../runtime/event-replays.js';
import { EventExplorer } from './event.explorer.js';
import { nestLogger } from './nest.logger.js';
import { EventingFeatureModule, FeatureEvents, type FeatureOptions } from './eventing.feature.js';

export interface EventingAsyncOptions extends Pick<ModuleMetadata, 'imports'> {
  readonly inject?: FactoryProvider['inject'];
  readonly useFactory: (...args: never[]) => EventingOptions | Promise<EventingOptions>;
}

const OPTIONS = Symbol('nestjs-eventing:options');

/** How an application's eventing is put together. */
export interface EventingAssembly {
  /** Stands between the options as they were given, or made by `forRootAsync`, and their checks. They may be anything still. */
  options(given: EventingOptions): EventingOptions;
  runtime(options: ResolvedOptions, discover: (registry: EventRegistry) => Discovered): EventingRuntime;
}

/** The token of the `EventingAssembly`: for tools that put something in its place, such as `nestjs-eventing/testing`. */
export const EVENTING_ASSEMBLY = Symbol('nestjs-eventing:assembly');

const ASSEMBLY: EventingAssembly = {
  options: (given) => given,
  runtime: (options, discover) => new EventingRuntime(options, discover),
};

/** Eventing for a Nest application: import it once, in the root module. It is global. */
@Module({})
export class EventingModule implements OnApplicationBootstrap, OnModuleDestroy {
  /** With no options: a service called `app`, in memory. */
  static forRoot(options: EventingOptions = {}): DynamicModule {
    return moduleWith({ provide: OPTIONS, useValue: options });
  }

  /** Options from other providers, such as a configuration service. */
  static forRootAsync(options: EventingAsyncOptions): DynamicModule {
    const useFactory = options.useFactory as (...args: unknown[]) => EventingOptions | Promise<EventingOptions>;
    return moduleWith({ provide: OPTIONS, useFactory, inject: options.inject ?? [] }, options.imports);
  }

  /**
   * Events of a feature, so that the start knows and checks them; without it an event registers itself when it is first listened to
   * or sent. May be imported by any module, any number of times.
   */
  static forFeature(events: readonly EventClass[], options: FeatureOptions = {}): DynamicModule {
    const given = new FeatureEvents(events, options.handlers ?? []);
    return { module: EventingFeatureModule, providers: [{ provide: Symbol('forFeature'), useValue: given }] };
  }

  constructor(
    modules: ModulesContainer,
    @Inject(EventingRuntime) private readonly runtime: EventingRuntime,
  ) {
    const own = [...modules.values()].filter((module) => module.metatype === EventingModule);
    if (own.length > 1)
      throw new EventingError(
        'EVT_INVALID_OPTIONS',
        'EventingModule is imported with options more than once: call forRoot() in the root module only.',
      );
    // Nest runs hooks by distance from the root. Below every other module: listeners start when all else is up, and drain
    // while the database they use is still open.
    for (const module of own) module.distance = -1;
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.runtime.start();
  }

  async onModuleDestroy(): Promise<void> {
    await this.runtime.stop();
  }
}

function moduleWith(
  options: FactoryProvider | { provide: symbol; useValue: EventingOptions },
  imports: ModuleMetadata['imports'] = [],
): DynamicModule {
  return {
    module: EventingModule,
    global: true,
    imports: [DiscoveryModule, ...imports],
    providers: [
      options,
      EventExplorer,
      { provide: EVENTING_ASSEMBLY, useValue: ASSEMBLY },
      {
        provide: EventingRuntime,
        inject: [OPTIONS, EventExplorer, EVENTING_ASSEMBLY],
        useFactory: (given: EventingOptions, explorer: EventExplorer, assembly: EventingAssembly) => {
          const resolved = resolveOptions(
            assembly.options(given),
            nestLogger((given as EventingOptions | undefined)?.structuredLogs === true),
          );
          return assembly.runtime(resolved, (registry) => explorer.explore(registry, resolved));
        },
      },
      // For who is made for one event: request-scoped listeners, and what they inject.
      { provide: Envelope, scope: Scope.REQUEST, inject: [REQUEST], useFactory: envelopeOf },
      { provide: EventManager, inject: [EventingRuntime], useFactory: (runtime: EventingRuntime) => runtime.events },
      {
        provide: EventPublisher,
        inject: [EventingRuntime],
        useFactory: (runtime: EventingRuntime) => runtime.publisher,
      },
      {
        provide: DeadLetters,
        inject: [EventingRuntime],
        useFactory: (runtime: EventingRuntime) => runtime.deadLetters,
      },
      { provide: EventingHealth, inject: [EventingRuntime], useFactory: (runtime: EventingRuntime) => runtime.health },
      { provide: EventReplays, inject: [EventingRuntime], useFactory: (runtime: EventingRuntime) => runtime.replays },
      { provide: EventLog, inject: [EventingRuntime], useFactory: (runtime: EventingRuntime) => runtime.options.log },
      {
        provide: EventListeners,
        inject: [EventingRuntime],
        useFactory: (runtime: EventingRuntime) => runtime.listeners,
      },
      {
        provide: EventingContext,
        inject: [EventingRuntime],
        useFactory: (runtime: EventingRuntime) => runtime.context,
      },
    ],
    exports: [
      EventManager,
      EventPublisher,
      DeadLetters,
      EventingContext,
      EventingHealth,
      EventingRuntime,
      EventListeners,
      EventReplays,
      EventLog,
      Envelope,
    ],
  };
}

function envelopeOf(request: unknown): Envelope {
  if (request instanceof Envelope) return request;
  throw new EventingError(
    'EVT_LISTENER_SCOPE',
    'An Envelope was injected where no event is handled (an HTTP request, a durable provider): inject it for listeners only.',
  );
}
