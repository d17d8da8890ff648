import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import { ContextIdFactory, type ModuleRef } from '@nestjs/core';
import { Injector } from '@nestjs/core/injector/injector.js';
import type { ContextId, InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import { REQUEST_CONTEXT_ID } from '@nestjs/core/router/request/request-constants.js';
import { EventingError } from '../errors/eventing.error.js';
import { EnhancerFinder } from './enhancer.finder.js';
import { enhancedCall, type ListenerCall } from './enhanced.call.js';
import type { ListenerHost } from './listener.host.js';

/** Makes the function that the kernel calls for each event: straight to the instance, or through a scope of its own. */
export class ListenerBinder {
  readonly #finder: EnhancerFinder;
  readonly #injector = new Injector();
  readonly #globals: ApplicationConfig | undefined;

  /** @param globals where the application's global enhancers run on listeners too */
  constructor(
    modules: ModulesContainer,
    private readonly root: ModuleRef,
    globals: ApplicationConfig | undefined,
  ) {
    this.#finder = new EnhancerFinder(modules, globals);
    this.#globals = globals;
  }

  /** @throws EventingError EVT_LISTENER_SCOPE */
  bind(host: ListenerHost): ListenerCall {
    const { wrapper } = host;
    if (wrapper.isTransient)
      throw new EventingError(
        'EVT_LISTENER_SCOPE',
        `${host.label} is transient, and nobody injects it: make it a singleton, or request-scoped.`,
      );
    if (host.takesBatches && !wrapper.isDependencyTreeStatic())
      throw new EventingError(
        'EVT_LISTENER_SCOPE',
        `${host.label} takes batches and is request-scoped, and a scope is made for one event: make it a singleton.`,
      );
    if (!wrapper.isDependencyTreeStatic() || this.#scopedGlobals().length > 0)
      return (event, envelope) => this.#scoped(host, event, envelope);
    const instance = wrapper.instance as object;
    return enhancedCall(host, instance, this.#finder.find(host, instance, undefined));
  }

  /** One scope a delivery, as one a request: the listener, its enhancers and all that they inject are made for this event. */
  async #scoped(host: ListenerHost, event: object, envelope: object): Promise<unknown> {
    const contextId = this.#open(envelope);
    for (const wrapper of this.#scopedGlobals())
      if (wrapper.host !== undefined) await this.#load(wrapper, contextId, wrapper.host.injectables);
    const module = host.wrapper.host;
    if (module === undefined) throw new Error(`${host.label} is in no module`);
    const collection = module.providers.has(host.wrapper.token) ? module.providers : module.controllers;
    const instance: object = await this.#injector.loadPerContext(
      host.wrapper.instance as object,
      module,
      collection as never,
      contextId,
      host.wrapper,
    );
    return enhancedCall(host, instance, this.#finder.find(host, instance, { contextId }))(event, envelope);
  }

  /** As Nest does for a request; a strategy for durable providers is heard too. */
  #open(envelope: object): ContextId {
    const contextId = ContextIdFactory.getByRequest(envelope);
    Object.defineProperty(envelope, REQUEST_CONTEXT_ID, { value: contextId });
    const request: unknown = contextId.getParent === undefined ? envelope : contextId.payload;
    this.root.registerRequestByContextId(request, contextId);
    return contextId;
  }

  #scopedGlobals(): InstanceWrapper[] {
    const config = this.#globals;
    if (config === undefined) return [];
    return [
      ...config.getGlobalRequestGuards(),
      ...config.getGlobalRequestPipes(),
      ...config.getGlobalRequestInterceptors(),
      ...config.getGlobalRequestFilters(),
    ];
  }

  async #load(wrapper: InstanceWrapper, contextId: ContextId, collection: Map<unknown, unknown>): Promise<void> {
    await this.#injector.loadPerContext(
      wrapper.instance as object,
      wrapper.host as never,
      collection as never,
      contextId,
      wrapper,
    );
  }
}
