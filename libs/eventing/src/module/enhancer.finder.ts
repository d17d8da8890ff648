import type { CanActivate, NestInterceptor, PipeTransform } from '@nestjs/common';
import { EXCEPTION_FILTERS_METADATA } from '@nestjs/common/constants.js';
import { ApplicationConfig, type ModulesContainer, type NestContainer } from '@nestjs/core';
import { ExternalExceptionFilterContext } from '@nestjs/core/exceptions/external-exception-filter-context.js';
import { GuardsContextCreator } from '@nestjs/core/guards/guards-context-creator.js';
import { STATIC_CONTEXT } from '@nestjs/core/injector/constants.js';
import type { ContextId } from '@nestjs/core/injector/instance-wrapper.js';
import { InterceptorsContextCreator } from '@nestjs/core/interceptors/interceptors-context-creator.js';
import { PipesContextCreator } from '@nestjs/core/pipes/pipes-context-creator.js';
import { type EventParameter, metadata } from '../declare/metadata.js';
import type { ListenerHost } from './listener.host.js';

/** The filters of a method, as Nest picks among them. */
export interface Filters {
  /** What the filter for this error returned; nothing where none is bound for it. */
  invokeCustomFilters(error: unknown, context: object): unknown;
}

/** One argument of a listener method. */
export interface Argument extends Omit<EventParameter, 'pipes'> {
  /** What is bound to the class or method comes first, and runs on the event and on custom parameters. */
  readonly pipes: readonly PipeTransform[];
  readonly type: unknown;
}

/** Everything that Nest binds to one method, instantiated. Empty or undefined: nothing. */
export interface Enhancers {
  readonly guards: readonly CanActivate[];
  readonly interceptors: readonly NestInterceptor[];
  readonly filters: Filters | undefined;
  /** `undefined`: the method takes the event and the envelope, as they come. */
  readonly parameters: readonly Argument[] | undefined;
}

const DEFAULT_PARAMETERS: readonly EventParameter[] = [
  { index: 0, kind: 'body', data: undefined, factory: (_, context) => context.getArgByIndex<object>(0), pipes: [] },
  { index: 1, kind: 'envelope', data: undefined, factory: (_, context) => context.getArgByIndex<object>(1), pipes: [] },
];

/**
 * Finds guards, pipes, interceptors and filters as Nest does for its own transports (after `RpcContextCreator` of
 * `@nestjs/microservices`), and by the same means.
 */
export class EnhancerFinder {
  readonly #guards: GuardsContextCreator;
  readonly #interceptors: InterceptorsContextCreator;
  readonly #pipes: PipesContextCreator;
  readonly #filters: ExternalExceptionFilterContext;

  /** @param globals the application's own configuration, where its global enhancers run on listeners too */
  constructor(modules: ModulesContainer, globals: ApplicationConfig | undefined) {
    const config = globals ?? new ApplicationConfig();
    // All that these ask a container for; the container itself cannot be injected.
    const container = { getModules: () => modules, applicationConfig: config } as unknown as NestContainer;
    this.#guards = new GuardsContextCreator(container, config);
    this.#interceptors = new InterceptorsContextCreator(container, config);
    this.#pipes = new PipesContextCreator(container, config);
    this.#filters = new ExternalExceptionFilterContext(container, config);
  }

  /** @param scope of a request-scoped host: the context of this delivery. @default the static context */
  find(host: ListenerHost, instance: object, scope: { readonly contextId: ContextId } | undefined): Enhancers {
    const { moduleKey, method } = host;
    const contextId = scope?.contextId ?? STATIC_CONTEXT;
    const inquirer = scope === undefined ? undefined : host.id;
    const handler = host.handler as () => void;
    const target = instance as Record<string, unknown>;
    const filters = this.#filters.create(target, handler, moduleKey, contextId, inquirer);
    const bound = this.#filters.createContext(target, handler, EXCEPTION_FILTERS_METADATA, contextId, inquirer);
    const pipes = this.#pipes.create(target, handler, moduleKey, contextId, inquirer);
    const declared = metadata.parameters(host.type, method);
    const types = metadata.parameterTypes(host.type.prototype, method);
    const parameters = declared.length === 0 ? DEFAULT_PARAMETERS : declared;
    return {
      guards: this.#guards.create(target, handler, moduleKey, contextId, inquirer),
      interceptors: this.#interceptors.create(target, handler, moduleKey, contextId, inquirer),
      filters: bound.length === 0 ? undefined : filters,
      parameters:
        declared.length === 0 && pipes.length === 0
          ? undefined
          : parameters.map((parameter) => {
              this.#pipes.setModuleContext(moduleKey);
              const own = this.#pipes.createConcreteContext([...parameter.pipes] as never, contextId, inquirer);
              // A pipe written for events knows nothing of envelopes and headers.
              const general = parameter.kind === 'body' || parameter.kind === 'custom' ? pipes : [];
              return { ...parameter, type: types[parameter.index], pipes: [...general, ...own] };
            }),
    };
  }
}
