import type { OnModuleDestroy } from '@nestjs/common';
import { type CustomTransportStrategy, type MessageHandler, Server, type Transport } from '@nestjs/microservices';
import { EventingError, type EventingRuntime } from 'nestjs-eventing';
import { Bridge, type BridgeOptions } from './bridge.js';
import type { EventingRpcContext } from './eventing.rpc-context.js';
import { HandlerTable } from './handlers/handler.table.js';
import { type PatternListenerOptions, PatternListeners } from './handlers/pattern.listeners.js';
import { routeOf } from './pattern.address.js';

export interface EventingTransportOptions extends BridgeOptions, PatternListenerOptions {
  /**
   * Which handlers it takes where several transports share controllers: `Transport.KAFKA` takes those marked so, as well as
   * those without a mark. @default EVENTING_TRANSPORT
   */
  readonly transportId?: Transport | symbol;
}

/** The mark of handlers that only an `EventingTransport` takes: `@EventPattern('orders.placed', EVENTING_TRANSPORT)`. */
export const EVENTING_TRANSPORT = Symbol.for('nestjs-eventing');

/**
 * Runs Nest's `@EventPattern()` and `@MessagePattern()` controllers on any provider of this package: as the `strategy` of
 * `NestFactory.createMicroservice` or `app.connectMicroservice`. What a handler of an event throws follows the retry and
 * dead-letter rule of listeners; requests are answered to `EventingClient`.
 *
 * Throws EVT_INVALID_OPTIONS; EVT_BRIDGE_LATE for the runtime of an application that has started.
 */
export class EventingTransport extends Server implements CustomTransportStrategy, OnModuleDestroy {
  /** Nest is not to log what the dead letter tells. */
  override readonly propagatesEventHandlerErrors = true;
  override transportId: Transport | symbol;
  readonly #table = new HandlerTable();
  readonly #listeners: PatternListeners;
  readonly #bridge: Bridge;
  #closed = false;

  constructor(options: EventingTransportOptions = {}) {
    super();
    this.transportId = options.transportId ?? EVENTING_TRANSPORT;
    this.#listeners = new PatternListeners(
      this.#table,
      options,
      () => this.#bridge.runtime,
      (context, call) => this.#watched(context, call),
    );
    this.#bridge = Bridge.to('EventingTransport', options, this.#listeners.source);
  }

  /** For Nest. @throws EventingError EVT_INVALID_PATTERN for a regular expression */
  override addHandler(
    pattern: unknown,
    callback: MessageHandler<unknown, unknown, unknown>,
    isEventHandler = false,
    extras: Record<string, unknown> = {},
  ): void {
    const route = routeOf(pattern);
    callback.isEventHandler = isEventHandler;
    callback.extras = extras;
    // Not chained as Nest does: a handler with a name is a listener of its own.
    if (!this.messageHandlers.has(route)) this.messageHandlers.set(route, callback);
    this.#table.add(route, callback, isEventHandler, extras);
  }

  /** For Nest: starts a runtime of its own; an application's starts with the application. */
  listen(callback: (error?: unknown) => void): void {
    this.#listen().then(
      () => callback(),
      (error: unknown) => callback(error),
    );
  }

  async #listen(): Promise<void> {
    if (this.#closed) throw new EventingError('EVT_NOT_RUNNING', 'An EventingTransport was closed: make a new one.');
    // Found already, perhaps by a send before the start: then they are found anew. After it, this is refused.
    if (this.#listeners.isLate) this.#bridge.runtime.add(() => ({ listeners: [], problems: [] }));
    if (this.#bridge.isOwn) await this.#bridge.runtime.start();
    this._status$.next('connected');
  }

  /** Drains and disconnects a runtime of its own. Idempotent. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    if (this.#bridge.isOwn) await this.#bridge.runtime.stop();
    this._status$.next('disconnected');
  }

  /** Where the transport is a provider, it drains with its module: before what Nest closes in a hybrid application later. */
  onModuleDestroy(): Promise<void> {
    return this.close();
  }

  /** There are no events of a broker's client to listen to. @throws EventingError EVT_UNSUPPORTED */
  on(event: string): never {
    throw new EventingError('EVT_UNSUPPORTED', `EventingTransport has no event "${event}": subscribe to status.`);
  }

  /** The runtime behind it: dead letters, announcements, readiness. */
  unwrap<T = EventingRuntime>(): T {
    return this.#bridge.runtime as T;
  }

  /** Nest's instrumentation, around each call. */
  #watched(context: EventingRpcContext, call: () => Promise<void>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.onProcessingStartHook(this.transportId, context, async () => {
        try {
          await call();
          resolve();
        } catch (error) {
          reject(error);
        } finally {
          this.onProcessingEndHook?.(this.transportId, context);
        }
      });
    });
  }
}
