import { EventingError, RejectEvent, type ProviderLogger } from 'nestjs-eventing';
import { isObservable, type Observable } from 'rxjs';
import type { EventingRpcContext } from '../eventing.rpc-context.js';
import type { Handler } from './handler.table.js';

/**
 * Calls all handlers of an event and waits for all of them, their Observables included. Where several fail, one error decides
 * what becomes of the event, and the others are logged; one that no retry will mend decides last.
 */
export async function callAll(
  handlers: readonly Handler[],
  data: unknown,
  context: EventingRpcContext,
  logger: ProviderLogger,
): Promise<void> {
  const outcomes = await Promise.allSettled(
    handlers.map(async ({ callback }) => {
      const result: unknown = await callback(data, context);
      if (isObservable(result)) await completion(result, context.getEnvelope().signal);
    }),
  );
  const errors = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [asError(outcome.reason, `@EventPattern("${context.getPattern()}")`)] : [],
  );
  const decisive = errors.find((error) => !(error instanceof RejectEvent)) ?? errors[0];
  if (decisive === undefined) return;
  for (const error of errors)
    if (error !== decisive) logger.error(`Another handler of "${context.getPattern()}" failed too: ${error.message}`);
  throw decisive;
}

/** When an Observable has completed. Values are of no interest to an event; when its signal aborts, it is left. */
function completion(stream: Observable<unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const left = (): void => {
      subscription.unsubscribe();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', left, { once: true });
    const done = (settle: () => void) => (): void => {
      signal.removeEventListener('abort', left);
      settle();
    };
    const subscription = stream.subscribe({
      error: (error: unknown) => done(() => reject(error))(),
      complete: done(resolve),
    });
    if (signal.aborted) left();
  });
}

/** Nest's RPC layer throws plain objects: what it would have replied. */
function asError(thrown: unknown, label: string): Error {
  if (thrown instanceof Error) return thrown;
  const isReply = typeof thrown === 'object' && thrown !== null && 'message' in thrown;
  const said = isReply ? thrown.message : thrown;
  const text = typeof said === 'string' ? said : (JSON.stringify(said) ?? String(said));
  return new EventingError(
    'EVT_HANDLER_FAILED',
    `${label} failed: ${text.slice(0, 500)}. Bind EventingExceptionFilter to keep what was thrown.`,
    { cause: thrown },
  );
}
