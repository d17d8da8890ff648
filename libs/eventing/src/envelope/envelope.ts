import type { WireAttributes } from '../wire/wire-format.js';
import { EventHeaders } from './event.headers.js';

/**
 * One event on its way: what is known about it, its headers, its body. Pipelines and listeners see the same shape.
 * Times in milliseconds since 1970.
 */
export class Envelope<T extends object = object> {
  /** A UUID, unless the sender gave another. With `source`, unique. */
  readonly id: string;
  readonly name: string;
  readonly version: number;
  /** The service that sent it: `/shop`. */
  readonly source: string;
  readonly time: number;
  /** Events of one channel and key are handled in the order in which they were sent. */
  readonly key: string | undefined;
  /** The id of the first event (or request) of the whole story. */
  readonly correlationId: string;
  /** The id of the event whose handling sent this one. */
  readonly causationId: string | undefined;
  /** Not to be handled before. */
  readonly notBefore: number | undefined;
  /** Not to be handled after: a dead letter from then on. */
  readonly expiresAt: number | undefined;
  readonly body: T;
  readonly headers: EventHeaders;
  /** 1 at the first attempt to handle it. 0 while it is being sent. */
  readonly attempt: number;
  /** True while a listener reads the past again. */
  readonly isReplay: boolean;
  #abort: AbortSource | undefined;

  constructor(
    fields: WireAttributes,
    body: T,
    headers: EventHeaders = new EventHeaders(),
    attempt = 0,
    isReplay = false,
    abort?: AbortSource,
  ) {
    this.id = fields.id;
    this.name = fields.name;
    this.version = fields.version;
    this.source = fields.source;
    this.time = fields.time;
    this.key = fields.key;
    this.correlationId = fields.correlationId;
    this.causationId = fields.causationId;
    this.notBefore = fields.notBefore;
    this.expiresAt = fields.expiresAt;
    this.body = body;
    this.headers = headers;
    this.attempt = attempt;
    this.isReplay = isReplay;
    this.#abort = abort;
  }

  /** Aborts when the attempt has timed out, when the event moves to another process, and when draining ends. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortSource();
    return this.#abort.signal;
  }
}

/** Makes its signal when somebody first looks: most listeners never do. */
export class AbortSource {
  #controller: AbortController | undefined;
  #reason: Error | undefined;

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  abort(reason: Error): void {
    this.#reason ??= reason;
    this.#controller?.abort(this.#reason);
  }
}
