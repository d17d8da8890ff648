/**
 * Names of OpenTelemetry's semantic conventions for messaging (https://opentelemetry.io/docs/specs/semconv/messaging/, in
 * development), and those of our own. Written out: the package of names exports these as incubating, where any may be gone tomorrow.
 */
export const ATTRIBUTE = {
  system: 'messaging.system',
  destination: 'messaging.destination.name',
  operationName: 'messaging.operation.name',
  operationType: 'messaging.operation.type',
  consumerGroup: 'messaging.consumer.group.name',
  messageId: 'messaging.message.id',
  conversationId: 'messaging.message.conversation_id',
  batchCount: 'messaging.batch.message_count',
  errorType: 'error.type',
  event: 'eventing.event.name',
  listener: 'eventing.listener.name',
  attempt: 'eventing.attempt',
  deadLetterReason: 'eventing.dead_letter.reason',
} as const;

export const METRIC = {
  sent: 'messaging.client.sent.messages',
  operationDuration: 'messaging.client.operation.duration',
  consumed: 'messaging.client.consumed.messages',
  processDuration: 'messaging.process.duration',
  deadLetters: 'eventing.dead_letters',
} as const;

/** Seconds; what the conventions recommend for all durations. */
export const DURATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
