import { Event, type EventClass, type EventRegistry } from 'nestjs-eventing';

/** Headers of requests and replies. */
export const REPLY_TO = 'nest-reply-to';
export const REPLY_INSTANCE = 'nest-reply-instance';
/** Milliseconds since 1970 after which nobody waits any more. */
export const REPLY_BEFORE = 'nest-reply-before';

/** Every reply channel ends in it: a request cannot have replies written where events live. */
const SUFFIX = '.replies';
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

export const replyChannelOf = (service: string): string => `${service}${SUFFIX}`;
export const isReplyChannel = (name: string): boolean => NAME.test(name) && name.endsWith(SUFFIX);

/** One part of an answer. `response` may come many times, `err` and `isDisposed` end it. */
export class Reply {
  /** Id of the request. */
  id!: string;
  response?: unknown;
  err?: unknown;
  isDisposed?: boolean;
}

/** The event class of one service's replies, in one application. Keyed, so that the parts of an answer keep their order. */
export function replyEvent(registry: EventRegistry, channel: string): EventClass<Reply> {
  const known = registry.find(channel, 1);
  if (known !== undefined) return known.type as EventClass<Reply>;
  const type = class extends Reply {};
  Object.defineProperty(type, 'name', { value: `Replies(${channel})` });
  Event({ name: channel, channel, key: 'id', durable: false })(type);
  registry.describe(type);
  return type;
}
