import { EventingError } from '../errors/eventing.error.js';
import type { Delivery } from '../provider/event-provider.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { Validated } from '../wire/body.validator.js';
import type { DecodedMessage, WireBinding, WireFormat } from '../wire/wire-format.js';
import { Failure } from './failure.js';

/** What a delivery turned out to be. */
export type Read =
  | {
      readonly kind: 'wanted';
      readonly message: DecodedMessage;
      readonly event: EventDescriptor;
      readonly listener: ListenerDescriptor;
    }
  | { readonly kind: 'unwanted'; readonly message: DecodedMessage }
  | { readonly kind: 'failed'; readonly message: DecodedMessage | undefined; readonly failure: Failure };

/** Reads deliveries of one subscription: the envelope first, the body only for a listener that wants it. */
export class MessageReader {
  readonly #wanted = new Map<string, Map<number, readonly [EventDescriptor, ListenerDescriptor]>>();
  readonly #formats = new Map<string, WireFormat>();

  constructor(
    private readonly registry: EventRegistry,
    private readonly listeners: readonly ListenerDescriptor[],
    private readonly binding: WireBinding,
    private readonly maxBodyBytes: number,
  ) {
    for (const listener of listeners)
      for (const event of listener.events) {
        const versions =
          this.#wanted.get(event.name) ?? new Map<number, readonly [EventDescriptor, ListenerDescriptor]>();
        this.#wanted.set(event.name, versions.set(event.version, [event, listener]));
        this.#formats.set(event.channel, event.wire);
      }
  }

  /** Decides who wants it. Cheap; no body is parsed. */
  identify(delivery: Delivery): Read {
    const format = this.#formats.get(delivery.channel);
    if (format === undefined)
      return failed(
        undefined,
        'undecodable',
        'EVT_UNDECODABLE',
        `Nothing is listened to on the channel "${delivery.channel}".`,
      );
    if (delivery.body.byteLength > this.maxBodyBytes)
      return failed(
        undefined,
        'too-large',
        'EVT_BODY_TOO_LARGE',
        `The body has ${delivery.body.byteLength} bytes, ${this.maxBodyBytes} are allowed: raise maxBodyBytes in EventingModule.`,
      );
    let message: DecodedMessage;
    try {
      message = format.decode(delivery, this.binding);
    } catch (error) {
      return { kind: 'failed', message: undefined, failure: undecodable(error) };
    }
    const versions = this.#wanted.get(message.name);
    if (versions === undefined) return this.#unwanted(delivery, message);
    const exact = versions.get(message.version);
    if (exact !== undefined) return { kind: 'wanted', message, event: exact[0], listener: exact[1] };
    // A version that another class of this service reads is somebody else's; one that an upcaster reads is ours.
    for (const [event, listener] of versions.values())
      if (upcastable(event, message.version)) return { kind: 'wanted', message, event, listener };
    if (this.registry.find(message.name, message.version) !== undefined) return { kind: 'unwanted', message };
    return failed(
      message,
      'unknown-version',
      'EVT_UNKNOWN_VERSION',
      `"${message.name}" came in version ${message.version}, known are ${this.registry.versions(message.name).join(', ')}: add an upcaster, or a class of that version.`,
    );
  }

  /** Parses the body, upcasts and validates it. A promise only where the event's rules are asynchronous. */
  body(message: DecodedMessage, event: EventDescriptor): object | Failure | Promise<object | Failure> {
    let value: unknown;
    try {
      value = event.serializer.deserialize(message.body, event);
      for (let version = message.version; version < event.version; version++)
        value = event.upcast[version]?.(value as Record<string, unknown>);
    } catch (cause) {
      return Failure.of(
        'undecodable',
        'EVT_UNDECODABLE',
        `The body of "${message.name}" cannot be read: ${brief(cause)}.`,
        cause,
      );
    }
    try {
      const result = event.validator(value);
      if (!(result instanceof Promise)) return judged(result, message, event);
      return result.then(
        (validated) => judged(validated, message, event),
        (cause: unknown) => notValidated(message, cause),
      );
    } catch (cause) {
      return notValidated(message, cause);
    }
  }

  #unwanted(delivery: Delivery, message: DecodedMessage): Read {
    const policy = this.listeners[0]?.unknown;
    const known = this.registry.onChannel(delivery.channel);
    const refused = policy === undefined ? known.length <= 1 : policy === 'dead-letter';
    if (!refused || known.some((event) => event.name === message.name)) return { kind: 'unwanted', message };
    return failed(
      message,
      'unknown-event',
      'EVT_UNKNOWN_EVENT',
      `"${message.name.slice(0, 200)}" came on the channel "${delivery.channel}", where ${known.map((event) => `"${event.name}"`).join(', ')} lives: declare it, or set unknown: 'skip'.`,
    );
  }
}

function upcastable(event: EventDescriptor, from: number): boolean {
  if (from >= event.version) return false;
  for (let version = from; version < event.version; version++) if (event.upcast[version] === undefined) return false;
  return true;
}

function failed(
  message: DecodedMessage | undefined,
  reason: Failure['reason'],
  code: 'EVT_UNDECODABLE' | 'EVT_BODY_TOO_LARGE' | 'EVT_UNKNOWN_VERSION' | 'EVT_UNKNOWN_EVENT',
  text: string,
): Read {
  return { kind: 'failed', message, failure: Failure.of(reason, code, text) };
}

function judged(result: Validated, message: DecodedMessage, event: EventDescriptor): object | Failure {
  if (result.problems === undefined) return result.body;
  const text = `The body of "${message.name}" is not a valid ${event.type.name}: ${result.problems.join('; ')}. Mend the sender, or the class.`;
  return Failure.of('invalid', 'EVT_INVALID_BODY', text);
}

function notValidated(message: DecodedMessage, cause: unknown): Failure {
  const text = `The body of "${message.name}" could not be validated: ${brief(cause)}.`;
  return Failure.of('invalid', 'EVT_INVALID_BODY', text, cause);
}

function undecodable(error: unknown): Failure {
  const text = error instanceof EventingError ? error.message : `The message cannot be read: ${brief(error)}.`;
  return Failure.of('undecodable', 'EVT_UNDECODABLE', text, error);
}

function brief(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, 300).replace(/\.$/, '');
}
