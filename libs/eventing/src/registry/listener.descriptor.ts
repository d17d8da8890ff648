import type {
  BatchEventListener,
  BatchOptions,
  EventListener,
  ListenerOptions,
} from '../declare/event-listener.decorator.js';
import type { Envelope } from '../envelope/envelope.js';
import type { StartPosition } from '../provider/event-provider.js';
import type { RetryPolicy } from '../receive/retry.policy.js';
import type { EventDescriptor } from './event.descriptor.js';

/** A listener as it was found: what to call, and what was asked for. */
export interface ListenerDefinition {
  /** Where it stands, for messages: `SendReceipt`, `Orders.onPlaced`. */
  readonly label: string;
  readonly events: readonly EventDescriptor[];
  readonly options: ListenerOptions;
  /** Calls it. Same contract as `EventListener.on`. */
  readonly invoke: EventListener['on'];
  /** The same for one whose options ask for batches, as `BatchEventListener.onBatch`. */
  readonly invokeBatch?: BatchEventListener['onBatch'];
}

/** A listener with every option resolved. */
export interface ListenerDescriptor {
  readonly label: string;
  readonly name: string;
  readonly group: string;
  readonly events: readonly EventDescriptor[];
  readonly provider: string;
  readonly perProcess: boolean;
  readonly durable: boolean;
  readonly from: StartPosition;
  readonly concurrency: number;
  readonly window: number;
  readonly timeout: number;
  readonly timeoutGrace: number;
  readonly retry: RetryPolicy;
  readonly guarantee: 'at-least-once' | 'at-most-once' | 'exactly-once';
  readonly order: 'none' | 'process' | 'cluster';
  readonly unknown: 'skip' | 'dead-letter' | undefined;
  readonly deadLetters: 'single' | 'sequenced';
  /** It may be shown the past again. */
  readonly replay: boolean;
  /** `undefined`: one by one. */
  readonly batch: Required<BatchOptions> | undefined;
  /** For one that takes no batches. */
  invoke(event: object, envelope: Envelope): unknown;
  /** For one that does. */
  invokeBatch(events: readonly object[], envelopes: readonly Envelope[]): unknown;
}
