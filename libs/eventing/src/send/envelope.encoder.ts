import type { Envelope } from '../envelope/envelope.js';
import { checkHeaderBytes } from '../envelope/event.headers.js';
import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import type { EventDescriptor } from '../registry/event.descriptor.js';
import type { Validated } from '../wire/body.validator.js';
import type { WireBinding } from '../wire/wire-format.js';

/**
 * Validates and serializes. What does not satisfy its class, does not fit or has no bytes never leaves the process.
 * A promise only where the event's rules are asynchronous. Throws (or rejects with) the coded error.
 */
export function encodeEnvelope(
  envelope: Envelope,
  event: EventDescriptor,
  binding: WireBinding,
  maxBodyBytes: number,
): OutgoingMessage | Promise<OutgoingMessage> {
  let result: Validated | Promise<Validated>;
  try {
    result = event.validator(envelope.body);
  } catch (cause) {
    throw notValidated(event, cause);
  }
  if (!(result instanceof Promise)) return write(result, envelope, event, binding, maxBodyBytes);
  return result.then(
    (validated) => write(validated, envelope, event, binding, maxBodyBytes),
    (cause: unknown) => {
      throw notValidated(event, cause);
    },
  );
}

/** Passing over an empty array costs less than over an empty map. */
const NO_HEADERS: readonly [string, string][] = [];

function write(
  result: Validated,
  envelope: Envelope,
  event: EventDescriptor,
  binding: WireBinding,
  maxBodyBytes: number,
): OutgoingMessage {
  if (result.problems !== undefined)
    throw new EventingError(
      'EVT_INVALID_EVENT',
      `${event.type.name} is not valid and was not sent: ${result.problems.join('; ')}.`,
    );
  const body = serialize(result.body, event);
  if (body.byteLength > maxBodyBytes)
    throw new EventingError(
      'EVT_BODY_TOO_LARGE',
      `${event.type.name} takes ${body.byteLength} bytes, ${maxBodyBytes} may travel: send a reference to what is large, or raise maxBodyBytes.`,
    );
  checkHeaderBytes(envelope.headers, event.type.name);
  const headers = envelope.headers.size === 0 ? NO_HEADERS : envelope.headers;
  return {
    id: envelope.id,
    channel: event.channel,
    key: envelope.key,
    headers: event.wire.encode(envelope, event.serializer.contentType, headers, binding),
    body,
    time: envelope.time,
    durable: event.durable,
  };
}

function notValidated(event: EventDescriptor, cause: unknown): EventingError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new EventingError('EVT_INVALID_EVENT', `${event.type.name} could not be validated and was not sent: ${why}.`, {
    cause,
  });
}

function serialize(body: object, event: EventDescriptor): Uint8Array {
  try {
    return event.serializer.serialize(body, event);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new EventingError(
      'EVT_UNSERIALIZABLE',
      `${event.type.name} cannot be written as ${event.serializer.contentType}: ${why}.`,
      {
        cause,
      },
    );
  }
}
