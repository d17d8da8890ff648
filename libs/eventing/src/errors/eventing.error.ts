/**
 * Every error of this package. `code` is stable and documented in `docs/errors.md`; the message names the culprit and the
 * remedy; `cause` is kept.
 */
export class EventingError extends Error {
  override readonly name: string = 'EventingError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    options: ErrorOptions & { readonly indeterminate?: boolean } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.indeterminate = options.indeterminate ?? false;
  }

  /** For failed sends: true when the broker may have stored the event all the same. */
  readonly indeterminate: boolean;
}

/** Code → what it means, in one line. `docs/errors.md` explains each; a test pins the two together. */
export const ERROR_CODES = {
  // declaring
  EVT_NOT_AN_EVENT: 'a class without @Event() was sent or listened to',
  EVT_DUPLICATE_EVENT: 'two event classes have one name and version',
  EVT_INVALID_EVENT_OPTIONS: 'an @Event() option cannot be used',
  EVT_CHANNEL_CONFLICT: 'events of one channel disagree about it',
  EVT_LISTENER_WITHOUT_ON: 'a listener has no method to call',
  EVT_INVALID_LISTENER_OPTIONS: 'an @EventListener() option cannot be used',
  EVT_DUPLICATE_LISTENER: 'two listeners of one name in one service',
  EVT_LISTENER_SCOPE: 'a pipeline is not a singleton, or a listener is transient',
  EVT_INVALID_PIPELINE: 'an @EnvelopePipeline() class has none of its methods',
  EVT_BATCH_PIPELINE: 'a pipeline handles events, and not the batches that a listener takes',
  EVT_INVALID_HANDLER: 'an @EventExceptionHandler() class has no handle() method, or is not a singleton',
  EVT_DUPLICATE_HANDLER: 'two exception handlers of one class of errors',
  EVT_INVALID_OPTIONS: 'an option of EventingModule cannot be used',
  EVT_UNKNOWN_LISTENER: 'no listener of this name runs in this process',
  EVT_UNKNOWN_OVERRIDE: 'options are given for an event or listener that does not exist',
  EVT_START_REFUSED: 'several things are wrong; each is listed',
  // bridging @nestjs/microservices
  EVT_INVALID_PATTERN: 'a pattern of @EventPattern() or @MessagePattern() cannot be bridged',
  EVT_BRIDGE_LATE: 'a transport or client was connected after the start',
  EVT_HANDLER_FAILED: "a controller's handler failed, and only Nest's reply tells of it",
  EVT_REQUEST_TIMEOUT: 'a request was not answered in time',
  EVT_REQUEST_REFUSED: 'a request cannot be answered',
  // abilities
  EVT_UNKNOWN_PROVIDER: 'an event names a provider that is not configured',
  EVT_UNSUPPORTED: 'a listener or event asks for what its provider cannot do',
  // sending
  EVT_INVALID_EVENT: 'the event does not satisfy its class; nothing was published',
  EVT_INVALID_HEADER: 'a header name or value cannot travel',
  EVT_INVALID_SEND_OPTIONS: 'an option of sendEvent() cannot be used',
  EVT_BODY_TOO_LARGE: 'the serialized event is larger than allowed',
  EVT_UNSERIALIZABLE: 'the event cannot be serialized',
  EVT_BUFFER_FULL: 'too many sends are open',
  EVT_PUBLISH_FAILED: 'the broker did not take the event',
  EVT_PUBLISH_TIMEOUT: 'the broker did not answer within publishTimeout',
  EVT_NOT_RUNNING: 'the application is not started, or is shutting down',
  EVT_OUTBOX_CLOSED: 'an event was sent after the work of its transaction was over',
  EVT_TRANSACTION_FAILED: 'the database did not take what belongs to a transaction',
  // pipelines
  EVT_PIPELINE_NEXT_TWICE: 'a pipeline called next() more than once',
  EVT_PIPELINE_NEXT_MISSING: 'a pipeline ended without calling next()',
  // receiving
  EVT_UNDECODABLE: 'a message could not be read',
  EVT_INVALID_BODY: 'a received body does not satisfy its event class',
  EVT_UNKNOWN_EVENT: 'a received event is of no known name',
  EVT_UNKNOWN_VERSION: 'a received event is of an unknown version',
  EVT_EXPIRED: 'the event expired before it was handled',
  EVT_LISTENER_TIMEOUT: 'a listener did not return in time',
  EVT_CRASH_LOOP: 'the process died at each attempt to handle the event',
  EVT_REJECTED: 'a listener or pipeline refused the event for good',
  EVT_RETRY_ASKED: 'a listener or exception handler asked for another attempt after a time',
  EVT_BATCH_FAILED: 'a batch listener named the events that failed',
  EVT_BATCH_INDEX: 'a batch listener named an event that is not in its batch',
  EVT_INBOX_CONFLICT: 'an event came with an id that the inbox knows with another body',
  EVT_OUTPUT_PROVIDER: 'an exactly-once listener sent to another provider than that of its transaction',
  EVT_OUTPUT_LATE: 'an exactly-once listener sent after it had returned',
  EVT_ENHANCER_FAULT: 'a guard, pipe or interceptor did not do its part',
  // providers
  EVT_CONNECTION: 'the broker cannot be reached',
  EVT_AUTHENTICATION: 'the broker refused the credentials',
  EVT_TOPOLOGY: 'a channel is missing or is not as it should be',
  EVT_START_TIMEOUT: 'the broker was away for the whole start',
  EVT_POSITION: 'a start position cannot be used',
  EVT_SCHEMA_NEWER: 'the tables belong to a newer version of this package',
  EVT_SCHEMA_LOCKED: 'the tables are locked, and could not be brought up to date',
  EVT_READ_ONLY: 'the database only reads',
  EVT_DISK_FULL: 'the disk of the database is full',
  EVT_FOLDER_LOCKED: 'the folder of an embedded database is open elsewhere',
  EVT_LEASE_LOST: 'a process lost what it had for a time',
  EVT_CLIENT_MISSING: 'a library that a provider needs is not installed',
  // dead letters
  EVT_DEAD_LETTER_UNKNOWN: 'no dead letter has this id',
  EVT_DEAD_LETTER_FAILED: 'the dead-letter store did not take a letter',
  EVT_DEAD_LETTER_LISTENER: 'the listener of a dead letter is not known in this process',
  EVT_DEAD_LETTER_ABSENT: 'the listener of a dead letter is not durable and does not run here',
  EVT_DEAD_LETTER_SEQUENCE: 'another dead letter of its key comes first',
  EVT_DEAD_LETTER_BODY: 'the body of a dead letter cannot be read here',
  // replay
  EVT_REPLAY_REFUSED: 'a listener cannot be replayed as it was asked',
  // testing
  EVT_NOT_SETTLED: 'events were still open when settled() gave up',
  EVT_CHAOS: 'an attempt was made to fail by a chaos pipeline, or by a test',
} as const;

export type ErrorCode = keyof typeof ERROR_CODES;

/**
 * Thrown by a listener or a pipeline: this event will never succeed here. It becomes a dead letter at once, without retry.
 */
export class RejectEvent extends EventingError {
  override readonly name = 'RejectEvent';
  constructor(reason: string, options: ErrorOptions = {}) {
    super('EVT_REJECTED', reason, options);
  }
}

/**
 * Thrown by a listener or a pipeline: try again after this time instead of the listener's own delay. Attempts are counted as ever,
 * and after the last of them the event is a dead letter with the `cause`.
 */
export class RetryEvent extends EventingError {
  override readonly name = 'RetryEvent';
  constructor(
    /** Milliseconds; of no effect unless finite and at least 0. */
    readonly after: number,
    options: ErrorOptions = {},
  ) {
    const why = options.cause instanceof Error ? `: ${options.cause.message}` : '';
    super('EVT_RETRY_ASKED', `Another attempt was asked for in ${after} ms${why}`, options);
  }
}

/**
 * Thrown by a batch listener: these events of the batch failed, and the others are done. Each is retried alone, or becomes a dead
 * letter, by its own error. Whatever else is thrown has every event of the batch handled once more, alone.
 */
export class BatchError extends EventingError {
  override readonly name = 'BatchError';
  constructor(readonly failures: readonly { readonly index: number; readonly error: unknown }[]) {
    super('EVT_BATCH_FAILED', `${failures.length} events of a batch failed`);
  }
}
