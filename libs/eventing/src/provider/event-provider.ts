import type { Clock } from '../clock.js';
import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type { DeadLetterSequences } from '../dead-letters/dead-letter.sequences.js';
import type { Abilities } from './abilities.js';
import type { WireBinding } from '../wire/wire-format.js';

/**
 * The provider port: everything the kernel asks of a transport, and all that a transport may know of the kernel.
 *
 * A provider moves bytes. It does **not** serialize, validate, retry, limit concurrency, keep context or decide what a
 * failure means; the kernel does, for every provider alike. The conformance suite of `nestjs-eventing/testing` checks each
 * sentence below. (The shape owes much to watermill's `message/pubsub.go`.)
 */
export interface EventProvider {
  /** Short name for people: `memory`, `kafka`, `rabbitmq`. */
  readonly kind: string;

  /** What this provider can do with the options it was given. Static: known before the first connection. */
  readonly abilities: Abilities;

  /** How CloudEvents attributes are spelled on this transport, and which of them the transport carries by itself. */
  readonly binding: WireBinding;

  /**
   * Connects, and creates (or, under `topology: 'check'`, only checks) the channels named. Resolves when `publish` and
   * `subscribe` work. While the broker is away it keeps trying until `stop()`; it rejects only for what waiting will not
   * mend (credentials, a missing channel under `check`), with an `EventingError`.
   */
  start(channels: readonly ChannelPlan[]): Promise<void>;

  /**
   * Stores messages. Resolves when the broker has taken responsibility for all but the ones returned; each of those is
   * reported alone, by its index. A rejection means that every message failed.
   *
   * Calls may overlap. Messages of one channel and key are stored in call order, first of a batch first. While the
   * connection is away, messages are kept and sent again in order until `context.publishTimeout` has passed since the call.
   */
  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]>;

  /**
   * Begins to deliver. Resolves when the position is fixed: whatever is published after that reaches the subscription. A
   * backlog may be delivered before that.
   *
   * - Subscriptions of different names each get a copy; the same name in several processes competes for them.
   * - `perProcess`: each process gets each message, from now on (or from `from`, if it says otherwise), and leaves nothing
   *   behind when it ends.
   * - `durable`: the position (or queue) outlives the process.
   * - At most `window` messages of one source are delivered and not settled. There is no other queue that grows.
   * - A message that is not settled when its process dies comes back, to this or another member.
   * - A provider with `order` delivers one key's messages in stored order, to one process at a time.
   * - After a lost connection it subscribes again by itself.
   */
  subscribe(subscription: Subscription, subscriber: Subscriber): Promise<SubscriptionHandle>;

  /** Where the dead letters of this service wait. */
  readonly deadLetters: DeadLetterStore;

  /** Sends what was accepted for publishing, closes every connection. Handles are stopped before. Never rejects. */
  stop(): Promise<void>;
}

/** What `kafka({…})` or `memory()` returns: a recipe, so that each application gets a provider of its own. */
export interface ProviderFactory {
  readonly kind: string;
  create(context: ProviderContext): EventProvider;
  /**
   * Brings what the provider keeps on its server, such as tables, to what this version of it needs. Of those that keep any; called by
   * `eventing migrate`, with no provider made. Resolves with what was done, one line each, none where there was nothing to do. Several
   * processes may call it at the same time. Rejects with an `EventingError`, and then what was not done can be done again.
   */
  migrate?(context: ProviderContext): Promise<readonly string[]>;
}

/** What the kernel hands to a provider. */
export interface ProviderContext {
  /** The name of the provider in this application (`default`, or a key of `providers`). */
  readonly name: string;
  /** The service: prefix of groups, owner of the retry and dead-letter addresses. */
  readonly service: string;
  /** This process, unique in the cluster. */
  readonly instance: string;
  readonly topology: 'create' | 'check';
  /** Milliseconds for which a message may wait for the broker before its send is rejected. */
  readonly publishTimeout: number;
  /** Milliseconds for which revocation waits for listeners that are executing. */
  readonly rebalanceDrain: number;
  /** Largest body in bytes that the kernel will send; bodies received may be larger and are handed over as they are. */
  readonly maxBodyBytes: number;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
  /** Told at each change, for readiness. */
  onStatus(status: 'connected' | 'disconnected', cause?: unknown): void;
}

/** The part of Nest's `LoggerService` that a provider uses. */
export interface ProviderLogger {
  log(message: string): void;
  /** @param details what the line says of an event, as data */
  warn(message: string, details?: LogDetails): void;
  error(message: string, details?: LogDetails): void;
  debug(message: string): void;
}

/** An event in a log line. Nothing of its body or headers is in here. */
export interface LogDetails {
  /** The subscription. */
  readonly listener: string;
  readonly channel: string;
  readonly position: string;
  readonly attempt: number;
  readonly error: { readonly name: string; readonly message: string; readonly code?: string };
  // What is known where the message could be read.
  readonly event?: string;
  readonly id?: string;
  readonly correlationId?: string;
}

export interface ChannelPlan {
  readonly name: string;
  readonly durable: boolean;
}

/** Text; or bytes, where the value came from a broker and nobody has checked that it is UTF-8. */
export type HeaderValue = string | Uint8Array;
export type RawHeaders = Readonly<Record<string, HeaderValue>>;

export interface OutgoingMessage {
  /** The event's id, for brokers that carry or deduplicate one. */
  readonly id: string;
  readonly channel: string;
  readonly key: string | undefined;
  readonly headers: RawHeaders;
  readonly body: Uint8Array;
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly durable: boolean;
  /** Only the subscription of this name gets it, and no other (a redriven dead letter); in all processes, if per process. */
  readonly to?: string;
}

export interface PublishFailure {
  /** Index into the batch. */
  readonly index: number;
  readonly error: Error;
  /** True when the broker may have stored the message all the same. */
  readonly indeterminate: boolean;
}

/** Where a subscription without a position of its own begins. */
export type StartPosition =
  /** With what is published after the subscription was first made; fixed then, and kept. */
  | 'first-subscription'
  | 'earliest'
  /** With the first message stored at this time or later (milliseconds since 1970). */
  | { readonly time: number }
  /** Provider-specific positions by source, e.g. `{ 'orders/0': '42' }`; other sources begin at the earliest. */
  | { readonly positions: Readonly<Record<string, string>> };

export interface Subscription {
  /** The listener's name, or the group it shares. Unique within a service. */
  readonly name: string;
  readonly channels: readonly string[];
  readonly perProcess: boolean;
  readonly durable: boolean;
  readonly from: StartPosition;
  /**
   * Greatest number of messages of one source that are delivered and not settled. Where a position is written down instead
   * of single settlements (a log), all that was delivered after the first unsettled one counts.
   */
  readonly window: number;
  /** Key order must hold over all processes. Providers for which it costs parallelism may relax it when false. */
  readonly ordered: boolean;
  /**
   * `'now'`: a replay. It is delivered what is stored before `subscribe` resolves, from `from` on, and nothing of what is stored
   * after; `SubscriptionHandle.ended` tells when it has come to its end. Always `perProcess` and not `durable`: no other position
   * moves, and nothing is left behind. Asked for only where `abilities.boundedReplay` is true.
   */
  readonly until?: 'now';
  /**
   * What is accepted and its outputs, and what is rejected and its letter, go together with the position or not at all: whatever dies,
   * and whenever. Asked for only where `abilities.transactions` is true.
   *
   * - Outputs appear to others when they are committed, once; those of one channel and key in the order of the accepts, which the kernel
   *   makes in the order of the messages of a key.
   * - A message that comes back (after a crash, a release, a move) is one whose outputs or letter were never seen, and never will be.
   * - Who has lost a source, knowing it or not, can commit nothing of it any more.
   * - What is read are committed messages only.
   * - `accept` and `reject` return, or resolve, when they have their place in the next transaction. While the broker refuses an output
   *   the source stands still; it is told in the log.
   */
  readonly transactional: boolean;
}

/** The kernel's side of a subscription. */
export interface Subscriber {
  /** Takes one message. Returns at once and never throws; `settle` follows in any order. */
  deliver(delivery: Delivery): void;
  /**
   * These sources move to another process, or the connection that owned them is gone. Resolves when no listener works on
   * them any more, or at `rebalanceDrain`. The provider awaits it before it lets go, as far as the broker allows, and ignores
   * settlements of those sources afterwards.
   */
  revoked(sources: readonly string[]): Promise<void>;
}

export interface SubscriptionHandle {
  /** No `deliver` after it returns; membership and heartbeats go on. */
  pause(): void;
  resume(): void;
  /**
   * How many messages of the sources that this process has are stored and not settled, delivered ones included. A log counts
   * positions, so that gaps in it make this more than there are. Rejects while the broker is away.
   */
  lag(): Promise<number>;
  /**
   * Of a subscription with an end (`until`): resolves when each message up to it is settled, at once where there is none, or when it
   * is stopped. To `'incomplete'` where messages before the end were not settled that it was to deliver: it was stopped, or they were gone
   * before it came to them, with their channel or by its retention. Never rejects.
   */
  readonly ended?: Promise<'incomplete' | void>;
  /** Writes down what was settled, hands the rest back and leaves. The kernel has drained before. Never rejects. */
  stop(): Promise<void>;
}

/** One message on its way to a listener. Its fields may be getters: read them, do not spread it. */
export interface Delivery {
  readonly channel: string;
  /** The ordering key: messages of one channel and key run one after the other. */
  readonly key: string | undefined;
  readonly headers: RawHeaders;
  /** The bytes as they were stored. Must not change after delivery. */
  readonly body: Uint8Array;
  /** When it was sent, milliseconds since 1970. */
  readonly time: number;
  /** What moves between processes as one: a partition (`orders/3`), a queue. */
  readonly source: string;
  /** Where it stands in the channel, unique there: `3@1042`. */
  readonly position: string;
  /** 1, or more where the provider knows of attempts that a crash, a release or a defer ended. */
  readonly attempt: number;
  /** Not to be handled before (milliseconds since 1970), where the provider gave a deferred message back too soon. */
  readonly notBefore?: number;
  /**
   * Tells what becomes of it; the first call counts. `accept` returns at once and is confirmed in batches: a crash before
   * that repeats the message. A message that is not settled is never lost by the settlement of a later one. The others
   * resolve when the message is safe in its new place; if they reject, the message is as unsettled as before.
   */
  settle(settlement: Settlement): Promise<void> | void;
}

/** The one vocabulary of outcomes. The kernel decides whether and when; the provider, where the message waits. */
export type Settlement =
  | {
      readonly kind: 'accept';
      /**
       * To be published with it, in this order; only where the subscription is `transactional`. If they cannot be taken, `settle` rejects
       * and the message is as unsettled as before.
       */
      readonly outputs?: readonly OutgoingMessage[];
    }
  /** Back, now, before later messages of its key. */
  | { readonly kind: 'release' }
  /** Back, not before a time, after later messages; other messages go on. */
  | { readonly kind: 'defer'; readonly notBefore: number; readonly attempt: number }
  /** Into the dead-letter store, then gone from the channel: never gone without being stored. */
  | { readonly kind: 'reject'; readonly letter: DeadLetter };

/** One dead-letter address a service. */
export interface DeadLetterStore {
  /** Idempotent by `letter.id`. */
  append(letter: DeadLetter): Promise<void>;
  /** Reads without taking away, oldest first. */
  scan(query: DeadLetterQuery): Promise<DeadLetterPage>;
  /** Ids that are not there are passed over. */
  remove(ids: readonly string[]): Promise<void>;
  /** There where `abilities.sequencedDeadLetters` is true, and asked for only there. */
  readonly sequences?: DeadLetterSequences;
}

export interface DeadLetterQuery {
  /** From a page before; opaque. */
  readonly cursor?: string;
  /** Greatest number of letters returned. */
  readonly limit: number;
}

export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  /** Present while there may be more. */
  readonly cursor?: string;
}
