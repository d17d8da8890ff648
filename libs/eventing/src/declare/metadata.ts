import 'reflect-metadata';
import type { EventOptions } from './event.decorator.js';
import type { ListenerOptions } from './event-listener.decorator.js';
import type { EventParameter } from './event-parameter.decorator.js';

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
const PARAMETERS = Symbol.for('nestjs-eventing:parameters');

/** Nest's own mark of `@Injectable()`. */
const INJECTABLE = '__injectable__';

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

  addParameter(prototype: object, method: string | symbol, parameter: EventParameter): void {
    const before = (Reflect.getOwnMetadata(PARAMETERS, prototype, method) as EventParameter[] | undefined) ?? [];
    Reflect.defineMetadata(PARAMETERS, [...before, parameter], prototype, method);
  },
  parameters: (prototype: object, method: string | symbol): readonly EventParameter[] =>
    (Reflect.getMetadata(PARAMETERS, prototype, method) as EventParameter[] | undefined) ?? [],
};
