/** Of the media type: a property of AMQP's own. */
export const CONTENT_TYPE = 'content-type';
/** How CloudEvents attributes are spelled, and how JMS clients, whose names may not have a colon, must spell them. */
export const CLOUD_EVENTS = 'cloudEvents:';
export const CLOUD_EVENTS_JMS = 'cloudEvents_';

/** Properties of foreign messages, shown as headers so that a dead letter keeps them. No user's header has a colon. */
export const FOREIGN = {
  subject: 'amqp:subject',
  replyTo: 'amqp:reply-to',
  correlationId: 'amqp:correlation-id',
  contentEncoding: 'amqp:content-encoding',
} as const;

/** Header that tells what a body is that is neither data nor text: `value`, `sequence` or `malformed`. */
export const BODY_KIND = 'eventing-amqp-body';

/** Annotations of a deferred message. */
export const DELIVERY_TIME = 'x-opt-delivery-time';
export const ATTEMPT = 'x-opt-eventing-attempt';
/** Where a message stands in a stream of RabbitMQ's. */
export const STREAM_OFFSET = 'x-stream-offset';

/** Our own application properties. In capitals, as no user's header is, and fit for selectors. */
export const MARK = {
  /** Tells a redriven message from the one that it was. */
  redriven: 'EVENTING_REDRIVEN',
  /** A dead letter's id, and where it stands in the order of letters. */
  letter: 'EVENTING_LETTER',
  stamp: 'EVENTING_STAMP',
  /** In a stream: that the letter is gone, and how far a scan reads. */
  removed: 'EVENTING_REMOVED',
  end: 'EVENTING_END',
} as const;
