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
}): DeadLetter {
  const { delivery, message, failure } = given;
  // Whoever threw it may have put anything into its fields.
  const thrown: { readonly name: unknown; readonly message: unknown; readonly stack?: unknown } = failure.error;
  return {
    id: createHash('sha256')
      .update([given.service, given.listener, delivery.channel, delivery.position].join('\n'))
      .digest('base64url')
      .slice(0, 22)
      // On a command line it would be taken for a flag.
      .replace(/^-/, '_'),
    service: given.service,
    listener: given.listener,
    channel: delivery.channel,
    reason: failure.reason,
    error: {
      name: String(thrown.name).slice(0, 200),
      ...(failure.error instanceof EventingError ? { code: failure.error.code } : {}),
      message: String(thrown.message).slice(0, MAX_MESSAGE),
      ...(typeof thrown.stack === 'string' ? { stack: thrown.stack.slice(0, MAX_STACK) } : {}),
    },
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
