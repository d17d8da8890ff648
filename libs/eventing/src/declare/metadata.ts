import 'reflect-metadata';
import type { ExecutionContext } from '@nestjs/common';
import { CUSTOM_ROUTE_ARGS_METADATA, PARAMTYPES_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import type { EventOptions } from './event.decorator.js';
import type { ListenerOptions } from './event-listener.decorator.js';
import type { ErrorClass } from './event-exception-handler.decorator.js';
import { OWN_PARAMETERS } from './event-parameter.decorator.js';

/** A class that can be sent: any constructor, since hydration does not call it. */
export type EventClass<T extends object = object> = abstract new (...args: never[]) => T;

export interface ListenerDeclaration {
  readonly events: readonly EventClass[];
  readonly options: ListenerOptions;
}

// Symbol.for, so that two copies of this package in one application still read each other's decorators.
const EVENT = Symbol.for('nestjs-eventing:event');
const LISTENER = Symbol.for('nestjs-eventing:listener');
const PIPELINE = Symbol.for('nestjs-eventing:pipeline');
const EXCEPTION_HANDLER = Symbol.for('nestjs-eventing:exception-handler');

/** What one parameter of a listener method gets. `custom`: what a decorator of `createParamDecorator` makes of the context. */
export interface EventParameter {
  readonly index: number;
  readonly kind: 'body' | 'header' | 'envelope' | 'custom' | 'foreign';
  /** The name of the header; what a custom decorator was given. */
  readonly data: unknown;
  readonly factory: (data: unknown, context: ExecutionContext) => unknown;
  readonly pipes: readonly unknown[];
}

/** Nest's own mark of `@Injectable()`. */
const INJECTABLE = '__injectable__';
/** A route parameter (`@Body()`), or a decorator of `createParamDecorator`, by its key. */
interface RouteArgument {
  readonly index: number;
  readonly factory?: EventParameter['factory'];
  readonly data?: unknown;
  readonly pipes?: readonly unknown[];
}

/** The only file that touches `Reflect`. Everything is read from the class itself, so that nothing is inherited by accident. */
export const metadata = {
  setEvent: (type: object, options: EventOptions): void => Reflect.defineMetadata(EVENT, options, type),
  event: (type: object): EventOptions | undefined => Reflect.getOwnMetadata(EVENT, type) as EventOptions | undefined,

  setListener(target: object, method: string | symbol | undefined, declaration: ListenerDeclaration): void {
    if (method === undefined) Reflect.defineMetadata(LISTENER, declaration, target);
    else Reflect.defineMetadata(LISTENER, declaration, target, method);
  },
  listener(target: object, method?: string | symbol): ListenerDeclaration | undefined {
    const found: unknown =
      method === undefined ? Reflect.getOwnMetadata(LISTENER, target) : Reflect.getMetadata(LISTENER, target, method);
    return found as ListenerDeclaration | undefined;
  },

  /** Decorated by `@Injectable()` already, perhaps with a scope, which a second one would take off. */
  isInjectable: (type: object): boolean => Reflect.hasMetadata(INJECTABLE, type),

  setPipeline: (type: object): void => Reflect.defineMetadata(PIPELINE, true, type),
  isPipeline: (type: object): boolean => Reflect.getOwnMetadata(PIPELINE, type) === true,

  setExceptionHandler: (type: object, errors: readonly ErrorClass[]): void =>
    Reflect.defineMetadata(EXCEPTION_HANDLER, errors, type),
  exceptionHandler: (type: object): readonly ErrorClass[] | undefined =>
    Reflect.getOwnMetadata(EXCEPTION_HANDLER, type) as readonly ErrorClass[] | undefined,

  /** What Nest's parameter decorators left on a method, ours among them. `foreign`: one of another transport. */
  parameters(type: object, method: string): EventParameter[] {
    const found = (Reflect.getMetadata(ROUTE_ARGS_METADATA, type, method) ?? {}) as Record<string, RouteArgument>;
    return Object.entries(found).map(([key, { index, factory, data, pipes = [] }]) => {
      const isCustom = key.includes(CUSTOM_ROUTE_ARGS_METADATA) && factory !== undefined;
      return {
        index,
        kind: isCustom ? (OWN_PARAMETERS.get(factory) ?? 'custom') : 'foreign',
        data,
        factory: factory ?? (() => undefined),
        pipes,
      };
    });
  },

  /** Types of a method's parameters, where the compiler wrote them down. */
  parameterTypes: (prototype: object, method: string): readonly unknown[] =>
    (Reflect.getMetadata(PARAMTYPES_METADATA, prototype, method) as readonly unknown[] | undefined) ?? [],
};
