// The order below is the way of an event: what a user declares, how it leaves, how it arrives, how it ends.

export { Event, type EventOptions, type Upcaster } from './declare/event.decorator.js';
export {
  type BatchEventListener,
  type BatchOptions,
  EventListener,
  type ListenerOptions,
} from './declare/event-listener.decorator.js';
export { EnvelopePipeline, type Next } from './declare/envelope-pipeline.decorator.js';
export { EventBody, EventEnvelope, EventHeader } from './declare/event-parameter.decorator.js';
export {
  Decide,
  type ErrorClass,
  type EventDecision,
  type EventExceptionContext,
  EventExceptionHandler,
} from './declare/event-exception-handler.decorator.js';
export type { EventClass } from './declare/metadata.js';
export type { EventHandlingContext, SelfHandlingClass, SelfHandlingEvent } from './declare/self-handling.js';

export {
  EVENTING_ASSEMBLY,
  type EventingAssembly,
  type EventingAsyncOptions,
  EventingModule,
} from './module/eventing.module.js';
export { discoverClasses } from './module/declared.classes.js';
export { type EventingOptions, type ResolvedOptions, resolveOptions } from './runtime/eventing.options.js';
export type { EventOverride } from './registry/overrides.js';
export { EventingRuntime } from './runtime/eventing.runtime.js';
export type { Discovered, ListenerSource } from './runtime/findings.js';
export {
  EventListeners,
  type ListenerStatus,
  type ListenerSubscription,
  type SubscribeOptions,
} from './runtime/event-listeners.js';
export { EventReplays, type Replay, type ReplayOptions, type ReplayReport } from './runtime/event-replays.js';
export {
  EventingHealth,
  type EventingReport,
  type HealthBounds,
  type HealthResult,
  type ProviderHealth,
  type SubscriptionHealth,
} from './runtime/eventing.health.js';
export { EventingObserver, type SendOutcome } from './runtime/eventing.observer.js';
export type { ListenerAnnouncement } from './runtime/announcement.js';

export type { EventDescriptor } from './registry/event.descriptor.js';
export { EventRegistry } from './registry/event.registry.js';
export type { ListenerDefinition, ListenerDescriptor } from './registry/listener.descriptor.js';

export { Envelope } from './envelope/envelope.js';
export { EventHeaders, isHeaderName, isTraceHeader, MAX_HEADER_BYTES } from './envelope/event.headers.js';
export { type ContextScope, EventingContext } from './envelope/eventing.context.js';

export { type BodyOf, EventManager, type SendOptions } from './send/event.manager.js';
export { type BackgroundPublisher, EventPublisher } from './send/event.publisher.js';
export type { UnitOfWork } from './send/unit-of-work.js';
export type { Inbox, InboxBatchOutcome, InboxEntry, InboxOutcome, StagedMessage } from './receive/inbox.js';

export type { BodySerializer } from './wire/body.serializer.js';
export { cloudEvents } from './wire/cloudevents.wire-format.js';
export { json } from './wire/json.serializer.js';
export { raw, type RawOptions } from './wire/raw.wire-format.js';
export type { StandardSchemaV1 } from './wire/standard-schema.js';
export type { DecodedMessage, WireAttributes, WireBinding, WireFormat } from './wire/wire-format.js';

export type * from './provider/event-provider.js';
export type { Abilities } from './provider/abilities.js';
export * from './memory/index.js';

// For those who write a provider.
export { Alarm, backoff, settledWithin } from './provider/backoff.js';
export { type NumberLimits, optionFaults } from './provider/option.faults.js';
export { type OpenMessage, PublishCall } from './provider/publish.call.js';
export {
  DEAD_LETTER_HEADER,
  decodeDeadLetter,
  encodeDeadLetter,
  type StoredLetter,
} from './dead-letters/dead-letter.codec.js';

export {
  type BackoffOptions,
  BackoffPolicy,
  type ExponentialBackoff,
  type FixedBackoff,
} from './receive/backoff.policy.js';
export type { StoppedAt } from './receive/listener.stop.js';
export type { ExceptionRetry, RetryOptions } from './receive/retry.policy.js';
export type { DeadLetter, DeadLetterReason } from './dead-letters/dead-letter.js';
export type {
  DeadLetterSequences,
  LetterRelease,
  ReleasedLetter,
  ReleaseOutcome,
  SequenceKey,
} from './dead-letters/dead-letter.sequences.js';
export type { DeadLetterEdit } from './dead-letters/dead-letter.edit.js';
export { DEAD_LETTER_REASONS, type DeadLetterFilter } from './dead-letters/dead-letter.filter.js';
export type { DeadLetterGroup, DeadLetterGroups } from './dead-letters/dead-letter.groups.js';
export type { DeadLetterList, FoundDeadLetter } from './dead-letters/dead-letter.scanner.js';
export type { DeadLetterView, ShownBody } from './dead-letters/dead-letter.view.js';
export {
  type DeadLetterPaging,
  DeadLetters,
  type DeadLetterScan,
  type DeadLettersOptions,
  type RedriveAllOptions,
  type RedriveOptions,
  type RedriveReport,
} from './dead-letters/dead-letters.js';

export {
  EventLog,
  type EventLogHome,
  type HandledEntry,
  type HandledFilter,
  type HandledOutcome,
  type LogError,
  type LogFilter,
  type LogPage,
  type LogPaging,
  type ResendFilter,
  type ResendOptions,
  type ResendReport,
  type SentEntry,
  type SentFilter,
  type SentOutcome,
} from './event-log/event-log.js';

export { type Clock, systemClock, type Timer } from './clock.js';
export {
  BatchError,
  ERROR_CODES,
  type ErrorCode,
  EventingError,
  RejectEvent,
  RetryEvent,
} from './errors/eventing.error.js';
