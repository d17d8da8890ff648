import type { ListenerOptions } from 'nestjs-eventing';

/** Options of a handler's listener. Handlers take one event at a time. */
export type HandlerOptions = Omit<ListenerOptions, 'batch'>;

const EXTRAS = 'eventing';

/**
 * Options of this package for one handler, as Nest's extras: `@EventPattern('orders.placed', listenerOptions({ retry: … }))`.
 * A handler with a `name` is a listener of its own.
 */
export function listenerOptions(options: HandlerOptions): { readonly eventing: HandlerOptions } {
  return { [EXTRAS]: options };
}

/** What was given to `listenerOptions`; nothing where the extras are another's. */
export function listenerOptionsOf(extras: Readonly<Record<string, unknown>> | undefined): HandlerOptions {
  const found = extras?.[EXTRAS];
  return typeof found === 'object' && found !== null ? found : {};
}
