import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import { ClientProxy, type ReadPacket, type WritePacket } from '@nestjs/microservices';
import { type EventClass, EventingError, type EventingRuntime, type SendOptions } from 'nestjs-eventing';
import { Observable } from 'rxjs';
import { Bridge, type BridgeOptions } from './bridge.js';
import { EventRecord, type EventRecordOptions } from './event.record.js';
import { routeOf } from './pattern.address.js';
import { PatternEvents, type PatternOptions } from './pattern.events.js';
import { isPacketClass } from './pattern.packet.js';
import { REPLY_BEFORE, REPLY_INSTANCE, REPLY_TO } from './replies/reply.js';
import { ReplyListener, replyListenerOf } from './replies/reply.listener.js';

export interface EventingClientOptions extends BridgeOptions, PatternOptions {
  /** Whether `send()` may be used: it costs a subscription. @default true */
  readonly requests?: boolean;
  /** Milliseconds without an answer after which a request has failed. @default 30000 */
  readonly timeout?: number;
  /** Requests that may wait for an answer at one time. @default 10000 */
  readonly maxRequests?: number;
}

/** What there is while it is connected. */
interface Connection {
  readonly bridge: Bridge;
  readonly replies: ReplyListener | undefined;
  readonly patterns: PatternEvents;
}

/**
 * Nest's `ClientProxy` on any provider of this package. `emit` is a send: hot, its Observable gives the envelope when the
 * broker has the event, and an error that nobody subscribed to is logged. `send` is a request to an `EventingTransport`:
 * cold, one request a subscription, its errors are coded, or what the handler's filters replied.
 *
 * Throws EVT_INVALID_OPTIONS; EVT_BRIDGE_LATE for the runtime of an application that has started.
 */
export class EventingClient extends ClientProxy implements OnApplicationShutdown {
  readonly #logger = new Logger(EventingClient.name);
  readonly #timeout: number;
  #connection: Connection | undefined;
  #started: Promise<void> | undefined;

  constructor(private readonly options: EventingClientOptions = {}) {
    super();
    this.#timeout = atLeastOne('timeout', options.timeout ?? 30_000);
    atLeastOne('maxRequests', options.maxRequests ?? 10_000);
    this.#connection = this.#open();
  }

  /** Starts a runtime of its own; one that failed to start is made anew at the next call. */
  connect(): Promise<void> {
    const { bridge } = (this.#connection ??= this.#open());
    if (!bridge.isOwn) return Promise.resolve();
    this.#started ??= bridge.runtime.start().then(
      () => this._status$.next('connected'),
      (error: unknown) => {
        this.#connection = undefined;
        this.#started = undefined;
        throw error;
      },
    );
    return this.#started;
  }

  /**
   * What waits for an answer fails. A runtime of its own publishes what it has and disconnects, and is made anew by the next
   * call; an application's goes on.
   */
  async close(): Promise<void> {
    const connection = this.#connection;
    if (connection === undefined) return;
    const { bridge, replies } = connection;
    if (bridge.isOwn) {
      this.#connection = undefined;
      this.#started = undefined;
      await bridge.runtime.stop();
    }
    replies?.pending.failAll(
      this,
      new EventingError('EVT_NOT_RUNNING', 'The client was closed before the answer came.'),
    );
    this._status$.next('disconnected');
  }

  /** For Nest, where it is a provider: after everything that may still send. */
  onApplicationShutdown(): Promise<void> {
    return this.close();
  }

  override emit<TResult = unknown, TInput = unknown>(pattern: unknown, data: TInput): Observable<TResult> {
    const sent = super.emit<TResult, TInput>(pattern, data);
    let observed = false;
    sent.subscribe({
      error: (error: unknown) =>
        // Some errors are there before anybody could have subscribed.
        queueMicrotask(() => {
          if (!observed) this.#logger.error(`emit(${describe(pattern)}) failed: ${messageOf(error)}`);
        }),
    });
    return new Observable((observer) => {
      observed = true;
      return sent.subscribe(observer);
    });
  }

  /** The runtime behind it. */
  unwrap<T = EventingRuntime>(): T {
    return (this.#connection ??= this.#open()).bridge.runtime as T;
  }

  protected override async dispatchEvent<T>(packet: ReadPacket<unknown>): Promise<T> {
    const { type, body, options } = this.#outgoing(packet);
    return (await this.#bridge.runtime.events.sendEvent(type, body, options)) as T;
  }

  protected override publish(packet: ReadPacket<unknown>, callback: (packet: WritePacket) => void): () => void {
    let id: string | undefined;
    try {
      const replies = this.#replies();
      const { type, body, route, options } = this.#outgoing(packet);
      const { timeout = this.#timeout } = options;
      const { pending } = replies;
      const { events, options: settings } = this.#bridge.runtime;
      const request = pending.open(this, route, atLeastOne('timeout', timeout), callback);
      id = request;
      const headers = {
        ...options.headers,
        [REPLY_TO]: replies.channel,
        [REPLY_INSTANCE]: replies.instance,
        [REPLY_BEFORE]: String(settings.clock.now() + timeout),
      };
      events.sendEvent(type, body, { ...options, id: request, headers }).catch((error: unknown) => {
        pending.fail(request, error);
      });
      return () => pending.close(request);
    } catch (err) {
      if (id === undefined) callback({ err });
      return () => undefined;
    }
  }

  #open(): Connection {
    const { options } = this;
    const most = options.maxRequests ?? 10_000;
    const isAsking = options.requests ?? true;
    if (options.runtime !== undefined) {
      const bridge = Bridge.to('EventingClient', options);
      const replies = isAsking ? replyListenerOf(bridge.runtime, most) : undefined;
      return { bridge, replies, patterns: new PatternEvents(bridge.runtime.registry, options) };
    }
    const replies = isAsking ? new ReplyListener(most) : undefined;
    const bridge = Bridge.to('EventingClient', options, replies?.source);
    replies?.attach(bridge.runtime);
    return { bridge, replies, patterns: new PatternEvents(bridge.runtime.registry, options) };
  }

  get #bridge(): Bridge {
    return this.#current().bridge;
  }

  #current(): Connection {
    if (this.#connection === undefined)
      throw new EventingError('EVT_NOT_RUNNING', 'The EventingClient is closed: connect() it again.');
    return this.#connection;
  }

  #replies(): ReplyListener {
    const { replies } = this.#current();
    if (replies === undefined)
      throw new EventingError('EVT_INVALID_OPTIONS', 'EventingClient: send() was called under requests: false.');
    if (!replies.isListening)
      throw new EventingError(
        'EVT_NOT_RUNNING',
        'A request was sent before the application had started and could hear the answer: send it after app.init().',
      );
    return replies;
  }

  #outgoing({ pattern, data, metadata }: ReadPacket<unknown>): {
    type: EventClass;
    body: object;
    route: string;
    options: EventRecordOptions;
  } {
    const route = routeOf(pattern);
    const { type } = this.#current().patterns.eventOf(route);
    const record = data instanceof EventRecord ? data : new EventRecord(data);
    const options: SendOptions = record.options;
    return {
      type,
      route,
      // An event of a class of its own refuses what is no object.
      body: isPacketClass(type) ? { data: record.data } : (record.data as object),
      options: metadata === undefined ? options : { ...options, headers: { ...metadata, ...options.headers } },
    };
  }
}

function atLeastOne(option: string, value: number): number {
  if (Number.isFinite(value) && value >= 1) return value;
  throw new EventingError('EVT_INVALID_OPTIONS', `EventingClient: ${option} ${value} must be a number of at least 1.`);
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
const describe = (pattern: unknown): string => (typeof pattern === 'string' ? `"${pattern}"` : JSON.stringify(pattern));
