import { AsyncLocalStorage } from 'node:async_hooks';
import type { Envelope } from './envelope.js';
import type { UnitOfWork } from '../send/unit-of-work.js';

/** What everything inside inherits. */
export interface ContextScope {
  /** Correlation id of what is sent inside. @default the id of the first event sent */
  readonly correlationId?: string;
  /** Causation id of what is sent inside. */
  readonly causationId?: string;
  /** Headers that what is sent inside carries too, unless it sets them itself. */
  readonly headers?: ReadonlyMap<string, string>;
  /** Takes responsibility for what is sent inside. */
  readonly unitOfWork?: UnitOfWork;
}

/**
 * What flows along with asynchronous calls: correlation, causation, inherited headers, the unit of work. One an application.
 * The kernel opens a scope for each attempt; open one yourself where a story begins (an HTTP request, a job).
 */
export class EventingContext {
  readonly #storage = new AsyncLocalStorage<ContextScope>();

  /** The scope around the caller, if any. */
  current(): ContextScope | undefined {
    return this.#storage.getStore();
  }

  /** Runs `fn` in a scope; what it leaves out is inherited from the scope around. */
  run<R>(scope: ContextScope, fn: () => R): R {
    const around = this.#storage.getStore();
    return this.#storage.run(around === undefined ? scope : { ...around, ...scope }, fn);
  }

  /**
   * Runs `fn` as caused by this event: what it sends has the event's correlation id, and the event as its cause. A listener of
   * single events runs so already; one that takes batches says here which event it is about.
   */
  within<R>(envelope: Envelope, fn: () => R): R {
    return this.run({ correlationId: envelope.correlationId, causationId: envelope.id }, fn);
  }

  /** The scope in which an event is handled. @param propagate names of headers that what is sent inside carries on */
  scopeOf(envelope: Envelope, propagate: readonly string[]): ContextScope {
    const { correlationId, id, headers } = envelope;
    if (headers.size === 0) return { correlationId, causationId: id };
    let inherited: Map<string, string> | undefined;
    for (const name of propagate) {
      const value = headers.get(name);
      if (value !== undefined) (inherited ??= new Map()).set(name, value);
    }
    return inherited === undefined
      ? { correlationId, causationId: id }
      : { correlationId, causationId: id, headers: inherited };
  }

  /**
   * The application is over: every scope ends. Node 20 visits each storage that was ever used, for each promise that is made, until it is
   * told that nobody needs it any more.
   */
  close(): void {
    this.#storage.disable();
  }

  /** Runs `fn` in exactly this scope: nothing leaks in from whoever happened to wake the kernel. */
  runAlone<R>(scope: ContextScope, fn: () => R): R {
    return this.#storage.run(scope, fn);
  }
}
