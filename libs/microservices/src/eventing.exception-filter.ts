import { type ArgumentsHost, Catch } from '@nestjs/common';
import { BaseExceptionFilter } from '@nestjs/core';
import { BaseRpcExceptionFilter, RpcException } from '@nestjs/microservices';
import { type Observable, throwError } from 'rxjs';
import { EventingRpcContext } from './eventing.rpc-context.js';

/**
 * Hands on what a handler of an event threw, in place of Nest's "Internal server error": `RejectEvent` and `RetryEvent` mean
 * what they say, and a dead letter has the real message. Whatever is not an event goes Nest's usual way, HTTP and requests
 * included: a client is told no more than before.
 */
@Catch()
export class EventingExceptionFilter extends BaseExceptionFilter {
  readonly #rpc = new BaseRpcExceptionFilter<unknown, unknown>();

  override catch(exception: unknown, host: ArgumentsHost): unknown {
    if (host.getType() !== 'rpc') return super.catch(exception, host);
    const context = host.switchToRpc().getContext<unknown>();
    if (!(context instanceof EventingRpcContext) || context.isRequest) return this.#rpc.catch(exception, host);
    return thrown(exception);
  }
}

function thrown(exception: unknown): Observable<never> {
  const inner: unknown = exception instanceof RpcException ? exception.getError() : undefined;
  return throwError(() => (inner instanceof Error ? inner : exception));
}
