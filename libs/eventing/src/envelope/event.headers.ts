import { EventingError } from '../errors/eventing.error.js';

const NAME = /^[a-z0-9._-]{1,128}$/;
/** Names that wire formats, transports or JavaScript keep for themselves. */
const RESERVED = /^(?:ce[_-]|cloudevents|eventing-|content-type$|__proto__$|traceparent$|tracestate$)/;
const NUL = '\u0000';

/** Greatest size of a user's headers, names and values together, in UTF-8 bytes. */
export const MAX_HEADER_BYTES = 8 * 1024;

/**
 * The headers of an envelope: text by lower-case name. They travel as plain transport headers, so they are for short
 * things that cross services (a session, a tenant, a locale), 8 KiB in total.
 */
export class EventHeaders {
  #values: Map<string, string> | undefined;

  /** For the kernel: takes over a map whose names and values have been checked. */
  static of(values: Map<string, string> | undefined): EventHeaders {
    const headers = new EventHeaders();
    headers.#values = values;
    return headers;
  }

  get size(): number {
    return this.#values?.size ?? 0;
  }

  get(name: string): string | undefined {
    return this.#values?.get(name);
  }

  has(name: string): boolean {
    return this.#values?.has(name) ?? false;
  }

  /**
   * Names are `[a-z0-9._-]`, at most 128; values are well-formed text. `undefined` deletes.
   * @throws EventingError EVT_INVALID_HEADER
   */
  set(name: string, value: string | undefined): this {
    if (value === undefined) {
      this.#values?.delete(name);
      return this;
    }
    checkName(name);
    return this.#put(name, value);
  }

  /** For the kernel: as `set`, and takes the trace too, which only the context hands on. */
  inherit(name: string, value: string): void {
    if (!isTraceHeader(name)) checkName(name);
    this.#put(name, value);
  }

  delete(name: string): boolean {
    return this.#values?.delete(name) ?? false;
  }

  entries(): IterableIterator<[string, string]> {
    return (this.#values ?? EMPTY).entries();
  }

  [Symbol.iterator](): IterableIterator<[string, string]> {
    return this.entries();
  }

  toJSON(): Record<string, string> {
    return Object.fromEntries(this.entries());
  }

  #put(name: string, value: string): this {
    checkValue(name, value);
    (this.#values ??= new Map()).set(name, value);
    return this;
  }
}

const EMPTY: ReadonlyMap<string, string> & { entries(): IterableIterator<[string, string]> } = new Map();

export function isHeaderName(name: string): boolean {
  return NAME.test(name) && !RESERVED.test(name);
}

/** The trace context of W3C: handed on by the context, set by nobody else. */
export function isTraceHeader(name: string): boolean {
  return name === 'traceparent' || name === 'tracestate';
}

function checkName(name: string): void {
  if (!NAME.test(name))
    throw new EventingError(
      'EVT_INVALID_HEADER',
      `Header "${name.slice(0, 140)}" cannot travel: use a-z, 0-9, ".", "_" and "-".`,
    );
  if (RESERVED.test(name))
    throw new EventingError('EVT_INVALID_HEADER', `Header "${name}" is reserved: choose another name.`);
}

function checkValue(name: string, value: unknown): void {
  if (typeof value !== 'string' || !value.isWellFormed() || value.includes(NUL))
    throw new EventingError(
      'EVT_INVALID_HEADER',
      `Header "${name}" must be well-formed text without NUL: encode it first.`,
    );
}

/** @throws EventingError EVT_INVALID_HEADER when they are more than may travel */
export function checkHeaderBytes(headers: EventHeaders, event: string): void {
  if (headers.size === 0) return;
  let bytes = 0;
  for (const [name, value] of headers) bytes += name.length + Buffer.byteLength(value);
  if (bytes > MAX_HEADER_BYTES)
    throw new EventingError(
      'EVT_INVALID_HEADER',
      `The headers of ${event} take ${bytes} bytes, ${MAX_HEADER_BYTES} may travel: move what is large into the body.`,
    );
}
