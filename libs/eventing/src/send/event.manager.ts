import type { Clock } from '../clock.js';
import type { EventClass } from '../declare/metadata.js';
import { Envelope } from '../envelope/envelope.js';
import { EventHeaders } from '../envelope/event.headers.js';
import type { ContextScope, EventingContext } from '../envelope/eventing.context.js';
import { EventingError } from '../errors/eventing.error.js';
import type { Composed } from '../pipeline/compose.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import type { ProviderHost } from '../provider/provider.host.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { EventingObserver, SendOutcome } from '../runtime/eventing.observer.js';
import { encodeEnvelope } from './envelope.encoder.js';
import { EventIds } from './event.ids.js';
import { PendingSend } from './pending.send.js';
import type { Sink } from './sink.js';
import { StagingSink, type UnitOfWork } from './unit-of-work.js';

export interface SendOptions {
  /** Orders this event among those of one channel and key. @default what `@Event({ key })` reads from the body */
  readonly key?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** Not to be handled before. A `Date`, or milliseconds since 1970. */
  readonly notBefore?: Date | number;
  /** Milliseconds from now (or from `notBefore`) after which it is a dead letter instead. */
  readonly expiresIn?: number;
  /** 1 to 200 characters, unique. @default a random UUID */
  readonly id?: string;
  /** @default that of the event being handled or of the surrounding scope, else the id */
  readonly correlationId?: string;
}

/** The fields of an event: what a literal has to give. Methods come from the class. */
export type BodyOf<T> = { [K in keyof T as T[K] extends (...args: never[]) => unknown ? never : K]: T[K] };

export interface EventManagerOptions {
  readonly service: string;
  readonly registry: EventRegistry;
  readonly context: EventingContext;
  /** `undefined` where no pipeline sends. */
  readonly pipelines: () => Composed<Envelope, EventDescriptor> | undefined;
  /** `undefined` where nobody watches. */
  readonly observer: () => EventingObserver | undefined;
  /** Throws where no provider carries the event, or the one it names cannot. */
  readonly host: (event: EventDescriptor) => ProviderHost;
  readonly clock: Clock;
}

const NO_OPTIONS: SendOptions = {};

/**
 * Sends events: the whole way out, from registry and envelope through the pipelines and the encoder to the sink. One an
 * application; the event names its provider.
 */
export class EventManager {
  readonly #source: string;
  readonly #ids = new EventIds();
  readonly #staging = new WeakMap<UnitOfWork, Map<string, StagingSink>>();

  constructor(private readonly options: EventManagerOptions) {
    this.#source = `/${options.service}`;
  }

  /**
   * Resolves, with the envelope as it travelled, when the current sink has taken responsibility: the broker has stored the
   * event, or, inside a unit of work, it is staged. Sends of one channel and key are stored in call order.
   *
   * Fails by rejection, never by a throw, with an `EventingError`: EVT_NOT_AN_EVENT, EVT_INVALID_EVENT, EVT_INVALID_HEADER,
   * EVT_INVALID_SEND_OPTIONS, EVT_BODY_TOO_LARGE, EVT_UNSERIALIZABLE, EVT_BUFFER_FULL, EVT_PUBLISH_FAILED,
   * EVT_PUBLISH_TIMEOUT, EVT_NOT_RUNNING; inside an exactly-once listener also EVT_OUTPUT_PROVIDER and EVT_OUTPUT_LATE; or with what a pipeline threw. `indeterminate` tells whether the event may have
   * been stored all the same.
   */
  sendEvent<T extends object>(event: T, options?: SendOptions): Promise<Envelope<T>>;
  sendEvent<T extends object>(type: EventClass<T>, body: BodyOf<T>, options?: SendOptions): Promise<Envelope<T>>;
  sendEvent(first: object, second?: object, third?: SendOptions): Promise<Envelope> {
    return new Promise((resolve, reject) => {
      const named = typeof first === 'function';
      const body = named ? second : first;
      if (typeof body !== 'object' || body === null)
        throw new EventingError(
          'EVT_INVALID_EVENT',
          `sendEvent() was given ${String(body)} as an event: pass an object.`,
        );
      const type = (named ? first : body.constructor) as EventClass;
      this.#send(type, body, (named ? third : second) ?? NO_OPTIONS, resolve, reject);
    });
  }

  #send(
    type: EventClass,
    body: object,
    options: SendOptions,
    resolve: (envelope: Envelope) => void,
    reject: (error: unknown) => void,
  ): void {
    const event = this.options.registry.describe(type);
    const scope = this.options.context.current();
    const host = this.options.host(event);
    const envelope = this.#envelope(event, body, options, scope);
    const sink = scope?.unitOfWork === undefined ? host.buffer : this.#stagingInto(scope.unitOfWork, event.provider);
    if (!host.used) void host.connect().catch(() => undefined);
    const end = this.options.observer()?.sending(envelope, event);
    if (end !== undefined) return this.#sendWatched(envelope, event, host, sink, end, resolve, reject);
    this.#sendInto(sink, new PendingSend(envelope, event.channel, resolve, reject), event, host);
  }

  #sendWatched(
    envelope: Envelope,
    event: EventDescriptor,
    host: ProviderHost,
    sink: Sink,
    end: SendOutcome,
    resolve: (envelope: Envelope) => void,
    reject: (error: unknown) => void,
  ): void {
    const failed = (error: unknown): void => {
      end(error);
      reject(error);
    };
    const done = (sent: Envelope): void => {
      end();
      resolve(sent);
    };
    try {
      this.#sendInto(sink, new PendingSend(envelope, event.channel, done, failed), event, host);
    } catch (error) {
      failed(error);
    }
  }

  #sendInto(sink: Sink, send: PendingSend, event: EventDescriptor, host: ProviderHost): void {
    const { envelope } = send;
    const pipelines = this.options.pipelines();
    if (pipelines === undefined) {
      const message = encodeEnvelope(envelope, event, host.provider.binding, host.maxBodyBytes);
      if (!(message instanceof Promise)) return sink.fill(send, message);
      message.catch(() => undefined);
      return this.#fillLater(sink, send, () => message);
    }
    // The place in the order is taken before any pipeline runs: one that waits, or sends, must not change it.
    this.#fillLater(sink, send, () => this.#through(pipelines, envelope, event, host));
  }

  #fillLater(sink: Sink, send: PendingSend, message: () => Promise<OutgoingMessage>): void {
    sink.reserve(send);
    message().then(
      (ready) => sink.fill(send, ready),
      (error: unknown) => {
        sink.cancel(send);
        send.reject(error);
      },
    );
  }

  async #through(
    pipelines: Composed<Envelope, EventDescriptor>,
    envelope: Envelope,
    event: EventDescriptor,
    host: ProviderHost,
  ): Promise<OutgoingMessage> {
    let message: OutgoingMessage | undefined;
    await pipelines(envelope, event, async () => {
      message = await encodeEnvelope(envelope, event, host.provider.binding, host.maxBodyBytes);
    });
    return message as OutgoingMessage;
  }

  #envelope(event: EventDescriptor, body: object, options: SendOptions, scope: ContextScope | undefined): Envelope {
    const now = this.options.clock.now();
    const id = options.id ?? scope?.unitOfWork?.nextId?.() ?? this.#ids.next();
    const notBefore = options.notBefore === undefined ? undefined : Number(options.notBefore);
    if (options !== NO_OPTIONS) checkOptions(event, options);
    const headers = new EventHeaders();
    if (scope?.headers !== undefined) for (const [name, value] of scope.headers) headers.inherit(name, value);
    if (options.headers !== undefined)
      for (const [name, value] of Object.entries(options.headers)) headers.set(name, value);
    return new Envelope(
      {
        id,
        name: event.name,
        version: event.version,
        source: this.#source,
        time: now,
        key: options.key ?? event.keyOf(body),
        correlationId: options.correlationId ?? scope?.correlationId ?? id,
        causationId: scope?.causationId,
        notBefore,
        expiresAt: options.expiresIn === undefined ? undefined : (notBefore ?? now) + options.expiresIn,
      },
      body,
      headers,
    );
  }

  #stagingInto(unitOfWork: UnitOfWork, provider: string): StagingSink {
    const sinks = this.#staging.get(unitOfWork) ?? new Map<string, StagingSink>();
    const sink = sinks.get(provider) ?? new StagingSink(provider, unitOfWork);
    this.#staging.set(unitOfWork, sinks.set(provider, sink));
    return sink;
  }
}

const wellFormed = (value: unknown): boolean =>
  typeof value === 'string' && value.isWellFormed() && !value.includes('\u0000');
const text = (value: unknown): boolean => wellFormed(value) && value !== '' && (value as string).length <= 200;
const date = (value: unknown): boolean =>
  (typeof value === 'number' || value instanceof Date) && Math.abs(Number(value)) <= LAST_DATE;
const duration = (value: unknown): boolean => typeof value === 'number' && value > 0 && value <= LONGEST;

/** What a `Date` can hold; and a century, so that now and a duration always give a date. Milliseconds. */
const LAST_DATE = 8.64e15 / 2;
const LONGEST = 100 * 365 * 86_400_000;

function checkOptions(event: EventDescriptor, options: SendOptions): void {
  const bad = (
    [
      ['id', text, 'well-formed text of 1 to 200 characters'],
      ['correlationId', text, 'well-formed text of 1 to 200 characters'],
      ['key', wellFormed, 'well-formed text'],
      ['notBefore', date, 'a Date or milliseconds since 1970'],
      ['expiresIn', duration, 'milliseconds above 0, at most a century'],
    ] as const
  ).find(([name, fine]) => options[name] !== undefined && !fine(options[name]));
  if (bad !== undefined)
    throw new EventingError('EVT_INVALID_SEND_OPTIONS', `sendEvent(${event.type.name}): ${bad[0]} must be ${bad[2]}.`);
}
