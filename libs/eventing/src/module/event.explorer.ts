import { Injectable } from '@nestjs/common';
import { ApplicationConfig, DiscoveryService, MetadataScanner, ModuleRef, ModulesContainer } from '@nestjs/core';
import type { EnvelopePipeline } from '../declare/envelope-pipeline.decorator.js';
import type { EventExceptionHandler } from '../declare/event-exception-handler.decorator.js';
import { type ListenerDeclaration, metadata } from '../declare/metadata.js';
import type { EventHandlingContext, SelfHandlingClass, SelfHandlingEvent } from '../declare/self-handling.js';
import { EventingError } from '../errors/eventing.error.js';
import type { FoundExceptionHandler } from '../receive/exception.handlers.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDefinition } from '../registry/listener.descriptor.js';
import { EventingObserver } from '../runtime/eventing.observer.js';
import type { EventingOptions } from '../runtime/eventing.options.js';
import type { Discovered } from '../runtime/findings.js';
import type { ListenerCall } from './enhanced.call.js';
import { FeatureEvents } from './eventing.feature.js';
import { ListenerBinder } from './listener.binder.js';
import { type HostClass, ListenerHost, type Wrapper } from './listener.host.js';

type PipelineClass = NonNullable<EventingOptions['pipelines']>[number];
type Found = { label: string; type: unknown; pipeline: EnvelopePipeline };

export interface ExplorerOptions {
  /** Pipelines whose place matters, outermost first. */
  readonly pipelines: readonly PipelineClass[];
  readonly globalEnhancers: boolean;
}

/** Finds listeners, pipelines and exception handlers among the providers and controllers of an application. */
@Injectable()
export class EventExplorer {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
    private readonly modules: ModulesContainer,
    private readonly root: ModuleRef,
    private readonly config: ApplicationConfig,
  ) {}

  explore(registry: EventRegistry, options: ExplorerOptions): Discovered {
    const binder = new ListenerBinder(this.modules, this.root, options.globalEnhancers ? this.config : undefined);
    const problems: EventingError[] = [];
    const listeners: ListenerDefinition[] = [];
    const pipelines: Found[] = [];
    const exceptionHandlers: FoundExceptionHandler[] = [];
    const observers: EventingObserver[] = [];
    const attempt = (fn: () => void): void => {
      try {
        fn();
      } catch (error) {
        if (!(error instanceof EventingError)) throw error;
        problems.push(error);
      }
    };
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const feature: unknown = wrapper.isAlias ? undefined : wrapper.instance;
      if (feature instanceof FeatureEvents) {
        for (const event of feature.events) attempt(() => registry.describe(event));
        for (const type of feature.handlers) attempt(() => listeners.push(this.#selfHandling(type, registry)));
        continue;
      }
      if (feature instanceof EventingObserver) observers.push(feature);
      const type = typeOf(wrapper);
      if (type === undefined) continue;
      for (const [method, declaration] of this.#declarations(type))
        attempt(() =>
          listeners.push(
            listenerOf(
              new ListenerHost(wrapper, type, method, declaration.options.batch !== undefined),
              declaration,
              registry,
              binder,
            ),
          ),
        );
      if (metadata.isPipeline(type))
        attempt(() => pipelines.push({ label: type.name, type, pipeline: pipelineOf(wrapper, type) }));
      const errors = metadata.exceptionHandler(type);
      if (errors !== undefined)
        attempt(() => exceptionHandlers.push({ label: type.name, errors, handler: exceptionHandlerOf(wrapper, type) }));
    }
    return {
      listeners,
      pipelines: arrange(pipelines, options.pipelines, problems),
      exceptionHandlers,
      observers,
      problems,
    };
  }

  #selfHandling(type: SelfHandlingClass, registry: EventRegistry): ListenerDefinition {
    const event = registry.describe(type);
    const label = `${type.name}.handle`;
    if (typeof (type.prototype as Partial<SelfHandlingEvent>).handle !== 'function')
      throw new EventingError(
        'EVT_LISTENER_WITHOUT_ON',
        `${type.name} has no handle() method: write handle(context), or list it among the events of forFeature.`,
      );
    const { root } = this;
    const get: EventHandlingContext['get'] = (token) => root.get(token, { strict: false });
    return {
      label,
      events: [event],
      options: {},
      invoke: (own, envelope) => (own as SelfHandlingEvent).handle({ envelope, get }),
    };
  }

  #declarations(type: HostClass): [string | undefined, ListenerDeclaration][] {
    const found: [string | undefined, ListenerDeclaration][] = [];
    const own = metadata.listener(type);
    if (own !== undefined) found.push([undefined, own]);
    for (const method of this.scanner.getAllMethodNames(type.prototype)) {
      const declaration = metadata.listener(type.prototype, method);
      if (declaration !== undefined) found.push([method, declaration]);
    }
    return found;
  }
}

function typeOf(wrapper: Wrapper): HostClass | undefined {
  if (wrapper.isAlias) return undefined;
  const instance: unknown = wrapper.instance;
  // A factory's metatype is the factory; what it made tells the class.
  const type: unknown =
    wrapper.isDependencyTreeStatic() && typeof instance === 'object' && instance !== null
      ? (Object.getPrototypeOf(instance) as { constructor?: unknown } | null)?.constructor
      : wrapper.metatype;
  return typeof type === 'function' && typeof type.prototype === 'object' && type.prototype !== null ? type : undefined;
}

function listenerOf(
  host: ListenerHost,
  declaration: ListenerDeclaration,
  registry: EventRegistry,
  binder: ListenerBinder,
): ListenerDefinition {
  const { label } = host;
  if (typeof host.handler !== 'function')
    throw new EventingError(
      'EVT_LISTENER_WITHOUT_ON',
      `${label} has no ${host.method}() method: write ${host.takesBatches ? 'onBatch(events, envelopes)' : 'on(event, envelope)'}.`,
    );
  const foreign = metadata.parameters(host.type, host.method).find(({ kind }) => kind === 'foreign');
  if (foreign !== undefined)
    throw new EventingError(
      'EVT_INVALID_LISTENER_OPTIONS',
      `${label}: the decorator of its parameter ${foreign.index} reads a request of another transport: use @EventBody(), @EventHeader() or @EventEnvelope().`,
    );
  if (host.takesBatches && metadata.parameters(host.type, host.method).some(({ kind }) => kind === 'header'))
    throw new EventingError(
      'EVT_INVALID_LISTENER_OPTIONS',
      `${label} takes batches, and each event has headers of its own: take them from the envelopes, not by @EventHeader().`,
    );
  return {
    label,
    events: declaration.events.map((event) => {
      if (typeof event === 'function') return registry.describe(event);
      const text = `${label} listens to ${String(event)}, which is no class: look for files that import each other in a circle.`;
      throw new EventingError('EVT_NOT_AN_EVENT', text);
    }),
    options: declaration.options,
    ...calls(host, binder.bind(host)),
  };
}

function calls(host: ListenerHost, call: ListenerCall): Pick<ListenerDefinition, 'invoke' | 'invokeBatch'> {
  return host.takesBatches
    ? { invoke: (event, envelope) => call([event], [envelope]), invokeBatch: call }
    : { invoke: call };
}

function pipelineOf(wrapper: Wrapper, type: HostClass): EnvelopePipeline {
  const { send, handle, handleBatch } = type.prototype as EnvelopePipeline;
  if (![send, handle, handleBatch].some((method) => typeof method === 'function'))
    throw new EventingError(
      'EVT_INVALID_PIPELINE',
      `${type.name} has neither send() nor handle() nor handleBatch(): write one of them.`,
    );
  if (!isSingleton(wrapper))
    throw new EventingError(
      'EVT_LISTENER_SCOPE',
      `${type.name} is not a singleton (it, or something it injects, is request-scoped or transient): make it one, and take per-event data from the envelope.`,
    );
  return wrapper.instance as object;
}

function exceptionHandlerOf(wrapper: Wrapper, type: HostClass): EventExceptionHandler {
  const refuse = (what: string): never => {
    throw new EventingError('EVT_INVALID_HANDLER', `${type.name} ${what}.`);
  };
  if (typeof (type.prototype as Partial<EventExceptionHandler>).handle !== 'function')
    refuse('has no handle() method: write handle(error, context)');
  if (!isSingleton(wrapper))
    refuse('is not a singleton (it, or something it injects, is request-scoped or transient): make it one');
  return wrapper.instance as EventExceptionHandler;
}

const isSingleton = (wrapper: Wrapper): boolean => wrapper.isDependencyTreeStatic() && !wrapper.isTransient;

/** Outermost first: those listed as they are listed, then the others, last registered first. */
function arrange(found: readonly Found[], order: readonly PipelineClass[], problems: EventingError[]): Found[] {
  const listed = order.flatMap((type) => {
    const pipeline = found.find((candidate) => candidate.type === type);
    if (pipeline !== undefined) return [pipeline];
    const text = `EventingModule: pipelines names ${(type as PipelineClass | undefined)?.name ?? 'undefined'}, which no module provides as an @EnvelopePipeline().`;
    problems.push(new EventingError('EVT_INVALID_OPTIONS', text));
    return [];
  });
  return [...listed, ...found.filter((pipeline) => !listed.includes(pipeline)).reverse()];
}
