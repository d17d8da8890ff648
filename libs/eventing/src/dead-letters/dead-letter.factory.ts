import { createHash } from 'node:crypto';
import { EventingError } from '../errors/eventing.error.js';
import type { Delivery } from '../provider/event-provider.js';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { DeadLetter } from './dead-letter.js';
import type { Failure } from '../receive/failure.js';

const MAX_MESSAGE = 2000;
const MAX_STACK = 4000;

/** Everything a person will want to know about a message that was given up. */
export function deadLetterOf(given: {
  readonly service: string;
  readonly listener: string;
  readonly delivery: Delivery;
  readonly message: DecodedMessage | undefined;
  readonly failure: Failure;
  readonly attempts: number;
  readonly firstFailedAt: number;
  readonly now: number;
  /** The id of the letter that was released. @default made of the message's place */
  readonly id?: string | undefined;
  /** Later events of its key are to wait behind it. @default false */
  readonly sequenced?: boolean;
}): DeadLetter {
  const { delivery, message, failure } = given;
  // Whoever threw it may have put anything into its fields.
  const thrown: { readonly name: unknown; readonly message: unknown; readonly stack?: unknown } = failure.error;
  return {
    id: given.id ?? placeId(given.service, given.listener, delivery),
    service: given.service,
    listener: given.listener,
    channel: delivery.channel,
    reason: failure.reason,
    error: {
      name: String(thrown.name).slice(0, 200),
      ...(failure.error instanceof EventingError ? { code: failure.error.code } : {}),
      message: String(thrown.message).slice(0, MAX_MESSAGE),
      // Where it was decided that it waits is the same for all of them.
      ...(typeof thrown.stack === 'string' && failure.reason !== 'waiting'
        ? { stack: thrown.stack.slice(0, MAX_STACK) }
        : {}),
    },
    ...(given.sequenced === true ? { sequence: 'first' as const } : {}),
    attempts: given.attempts,
    firstFailedAt: given.firstFailedAt,
    deadAt: given.now,
    ...(message === undefined
      ? {}
      : { event: { name: message.name.slice(0, 200), version: message.version, id: message.id.slice(0, 200) } }),
    message: {
      key: delivery.key,
      headers: delivery.headers,
      body: delivery.body,
      time: delivery.time,
      position: delivery.position,
    },
  };
}

/** The same each time that the message is delivered. */
function placeId(service: string, listener: string, { channel, position }: Delivery): string {
  return (
    createHash('sha256')
      .update([service, listener, channel, position].join('\n'))
      .digest('base64url')
      .slice(0, 22)
      // On a command line it would be taken for a flag.
      .replace(/^-/, '_')
  );
}
