import type { CanActivate, ExecutionContext, NestInterceptor, Type } from '@nestjs/common';
import { ExecutionContextHost } from '@nestjs/core/helpers/execution-context-host.js';
import { InterceptorsConsumer } from '@nestjs/core/interceptors/interceptors-consumer.js';
import { isObservable, lastValueFrom } from 'rxjs';
import type { Envelope } from '../envelope/envelope.js';
import { EventingError, RejectEvent } from '../errors/eventing.error.js';
import type { Argument, Enhancers, Filters } from './enhancer.finder.js';
import type { ListenerHost } from './listener.host.js';

/** Takes an event and its envelope; of a batch, all of both. */
export type ListenerCall = (event: object, envelope: object) => unknown;

type Step = (context: ExecutionContext) => unknown;
type Methods = Record<string, ((...args: unknown[]) => unknown) | undefined>;

/** What `getType()` says inside of guards, pipes, interceptors and filters that run on a listener. */
const CONTEXT_TYPE = 'event';

/**
 * Calls a listener with Nest's enhancers around it, in Nest's order: filters, guards, interceptors, pipes. What is not bound
 * is not there; with nothing bound, this is the method.
 */
export function enhancedCall(host: ListenerHost, instance: object, enhancers: Enhancers): ListenerCall {
  const { label, method } = host;
  // Looked up at each call, so that a spy put on the instance later is seen.
  const methods = instance as Methods;
  const { guards, interceptors, filters, parameters } = enhancers;
  const isPlain = guards.length === 0 && interceptors.length === 0 && filters === undefined;
  if (isPlain && parameters === undefined) return (event, envelope) => methods[method]?.(event, envelope);
  if (isPlain && parameters?.every(isSimple) === true)
    return (event, envelope) => methods[method]?.(...simpleArguments(parameters, event, envelope));

  let step: Step =
    parameters === undefined
      ? (context) => methods[method]?.(...(context.getArgs() as unknown[]))
      : piped(parameters, label, (args) => methods[method]?.(...args));
  if (interceptors.length > 0) step = intercepted(interceptors, label, instance, host.handler, step);
  if (guards.length > 0) step = guarded(guards, label, step);
  if (filters !== undefined) step = filtered(filters, step);
  return (event, envelope) => {
    const context = new ExecutionContextHost([event, envelope], host.type as Type, host.handler as () => unknown);
    context.setType(CONTEXT_TYPE);
    return step(context);
  };
}

/** Stays synchronous as long as the guards do: most only look at a header. */
function guarded(guards: readonly CanActivate[], label: string, next: Step): Step {
  const judge = (guard: CanActivate, verdict: unknown): void => {
    if (verdict === undefined) throw broken(guard, label, 'returned nothing: return true or false');
    if (verdict !== true && !verdict) throw new RejectEvent(`${nameOf(guard)} denies ${label} this event.`);
  };
  const later = async (from: number, pending: unknown, context: ExecutionContext): Promise<unknown> => {
    judge(guards[from] as CanActivate, await settled(pending));
    for (const guard of guards.slice(from + 1)) judge(guard, await settled(guard.canActivate(context)));
    return next(context);
  };
  return (context) => {
    for (let index = 0; index < guards.length; index++) {
      const guard = guards[index] as CanActivate;
      const verdict = guard.canActivate(context);
      if (typeof verdict === 'object' && verdict !== null) return later(index, verdict, context);
      judge(guard, verdict);
    }
    return next(context);
  };
}

function intercepted(
  interceptors: readonly NestInterceptor[],
  label: string,
  instance: object,
  handler: unknown,
  next: Step,
): Step {
  const consumer = new InterceptorsConsumer();
  const checked = interceptors.map((interceptor): NestInterceptor => ({
    async intercept(context, rest) {
      const stream: unknown = await interceptor.intercept(context, rest);
      if (!isObservable(stream))
        throw broken(interceptor, label, 'returned no Observable: return next.handle(), or of(…) in its place');
      return stream;
    },
  }));
  return async (context) =>
    settled(
      await consumer.intercept(
        checked,
        context.getArgs<unknown[]>(),
        instance,
        handler as () => unknown,
        async () => next(context),
        CONTEXT_TYPE,
      ),
    );
}

function piped(parameters: readonly Argument[], label: string, call: (args: unknown[]) => unknown): Step {
  return async (context) => {
    const args: unknown[] = [];
    for (const parameter of parameters) {
      const { kind, pipes, type, data, factory } = parameter;
      let value: unknown = await factory(data, context);
      for (const pipe of pipes) {
        const about = {
          type: kind === 'body' ? 'body' : 'custom',
          metatype: type as Type,
          data: data as string,
        } as const;
        value = await pipe.transform(value, about);
        if (kind === 'body' && (value === undefined || value === null))
          throw broken(pipe, label, 'returned nothing: return the event, or throw');
      }
      args[parameter.index] = value;
    }
    return call(args);
  };
}

/** A filter that returns nothing has not dealt with the error, which goes on: so Nest has it outside of HTTP. */
function filtered(filters: Filters, next: Step): Step {
  return async (context) => {
    try {
      return await next(context);
    } catch (error) {
      const result = await settled(filters.invokeCustomFilters(error, context));
      if (result === undefined || result === null) throw error;
      return result;
    }
  };
}

/** What a promise or an Observable comes to; `undefined` for an empty one. */
async function settled(value: unknown): Promise<unknown> {
  const awaited = await value;
  return isObservable(awaited) ? lastValueFrom(awaited, { defaultValue: undefined }) : awaited;
}

const isSimple = ({ kind, pipes }: Argument): boolean => kind !== 'custom' && pipes.length === 0;

/** Those of this package without pipes: no context is made for them. */
function simpleArguments(parameters: readonly Argument[], event: object, envelope: object): unknown[] {
  const args: unknown[] = [];
  for (const { index, kind, data } of parameters)
    args[index] =
      kind === 'body' ? event : kind === 'header' ? (envelope as Envelope).headers.get(data as string) : envelope;
  return args;
}

const nameOf = (enhancer: object): string => enhancer.constructor.name;

function broken(enhancer: object, label: string, what: string): EventingError {
  return new EventingError('EVT_ENHANCER_FAULT', `${nameOf(enhancer)}, bound to ${label}, ${what}.`);
}
