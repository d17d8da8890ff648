import { Injectable } from '@nestjs/common';
import { DiscoveryService, MetadataScanner } from '@nestjs/core';
import type { EnvelopePipeline } from '../declare/envelope-pipeline.decorator.js';
import type { EventListener } from '../declare/event-listener.decorator.js';
import type { EventParameter } from '../declare/event-parameter.decorator.js';
import { type ListenerDeclaration, metadata } from '../declare/metadata.js';
import type { Envelope } from '../envelope/envelope.js';
import { EventingError } from '../errors/eventing.error.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDefinition } from '../registry/listener.descriptor.js';
import type { EventingOptions } from '../runtime/eventing.options.js';
import type { Discovered } from '../runtime/eventing.runtime.js';

type Wrapper = ReturnType<DiscoveryService['getProviders']>[number];
type PipelineClass = NonNullable<EventingOptions['pipelines']>[number];
type Found = { label: string; type: unknown; pipeline: EnvelopePipeline };

/** The only file that touches Nest's discovery: finds listeners and pipelines among the providers and controllers. */
@Injectable()
export class EventExplorer {
  constructor(
    private readonly discovery: DiscoveryService,
    private readonly scanner: MetadataScanner,
  ) {}

  explore(registry: EventRegistry, order: readonly PipelineClass[]): Discovered {
    const problems: EventingError[] = [];
    const listeners: ListenerDefinition[] = [];
    const pipelines: Found[] = [];
    const attempt = (fn: () => void): void => {
      try {
        fn();
      } catch (error) {
        if (!(error instanceof EventingError)) throw error;
        problems.push(error);
      }
    };
    for (const wrapper of [...this.discovery.getProviders(), ...this.discovery.getControllers()]) {
      const type = typeOf(wrapper);
      if (type === undefined) continue;
      for (const [method, declaration] of this.#declarations(type))
        attempt(() => listeners.push(listenerOf(wrapper, type, method, declaration, registry)));
      if (metadata.isPipeline(type))
        attempt(() => pipelines.push({ label: type.name, type, pipeline: pipelineOf(wrapper, type) }));
    }
    return { listeners, pipelines: arrange(pipelines, order, problems), problems };
  }

  #declarations(type: Class): [string | undefined, ListenerDeclaration][] {
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

interface Class {
  readonly name: string;
  readonly prototype: object;
}

function typeOf(wrapper: Wrapper): Class | undefined {
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
  wrapper: Wrapper,
  type: Class,
  method: string | undefined,
  declaration: ListenerDeclaration,
  registry: EventRegistry,
): ListenerDefinition {
  const label = method === undefined ? type.name : `${type.name}.${method}`;
  const called = method ?? 'on';
  if (typeof (type.prototype as Record<string, unknown>)[called] !== 'function')
    throw new EventingError('EVT_LISTENER_WITHOUT_ON', `${label} has no on() method: write on(event, envelope).`);
  const instance = staticInstance(wrapper, label) as Record<string, (...args: unknown[]) => unknown>;
  return {
    label,
    events: declaration.events.map((event) => {
      if (typeof event === 'function') return registry.describe(event);
      const text = `${label} listens to ${String(event)}, which is no class: look for files that import each other in a circle.`;
      throw new EventingError('EVT_NOT_AN_EVENT', text);
    }),
    options: declaration.options,
    invoke: invoker(instance, called, metadata.parameters(type.prototype, called)),
  };
}

function pipelineOf(wrapper: Wrapper, type: Class): EnvelopePipeline {
  const { send, handle } = type.prototype as EnvelopePipeline;
  if (typeof send !== 'function' && typeof handle !== 'function')
    throw new EventingError('EVT_INVALID_PIPELINE', `${type.name} has neither send() nor handle(): write one of them.`);
  return staticInstance(wrapper, type.name);
}

function staticInstance(wrapper: Wrapper, label: string): object {
  if (!wrapper.isDependencyTreeStatic() || wrapper.isTransient)
    throw new EventingError(
      'EVT_LISTENER_SCOPE',
      `${label} is not a singleton (it, or something it injects, is request-scoped or transient): make it one, and take per-event data from the envelope.`,
    );
  return wrapper.instance as object;
}

function invoker(
  instance: Record<string, (...args: unknown[]) => unknown>,
  method: string,
  parameters: readonly EventParameter[],
): EventListener['on'] {
  // Looked up at each call, so that a spy put on the instance later is seen.
  if (parameters.length === 0) return (event, envelope) => instance[method]?.(event, envelope);
  const read = (parameter: EventParameter, event: object, envelope: Envelope): unknown => {
    if (parameter.kind === 'body') return event;
    return parameter.kind === 'envelope' ? envelope : envelope.headers.get(parameter.name);
  };
  return (event, envelope) => {
    const args: unknown[] = [];
    for (const parameter of parameters) args[parameter.index] = read(parameter, event, envelope);
    return instance[method]?.(...args);
  };
}

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
