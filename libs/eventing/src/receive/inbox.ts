import type { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import type { UnitOfWork } from '../send/unit-of-work.js';

/** What was sent while an event was handled, for one provider. */
export interface StagedMessage {
  readonly provider: string;
  readonly message: OutgoingMessage;
}

/** Names one handling of one event: an inbox knows each at most once. */
export interface InboxEntry {
  /** The listener's name, with its service: `shop.SendReceipt`. */
  readonly listener: string;
  /** The event's `source` and `id`, which together are unique. */
  readonly source: string;
  readonly id: string;
  /** SHA-256 of the body: one id with two bodies is a fault of the sender. */
  readonly digest: Uint8Array;
  /** For people who look: no part of what an event is known by. @default unknown */
  readonly about?: {
    /** The listener's alone. @default unknown */
    readonly service?: string;
    readonly event: string;
    readonly version: number;
    readonly channel: string;
    readonly key: string | undefined;
    readonly attempt: number;
  };
}

/** What came of it. In both cases the outputs are to be published before the delivery is accepted, with the ids they have. */
export interface InboxOutcome {
  /** True: it was handled before, and `work` did not run. */
  readonly duplicate: boolean;
  /** Empty where an outbox of the same transaction relays them. */
  readonly outputs: readonly StagedMessage[];
}

/** What came of a batch. All outputs are to be published before any of its deliveries is accepted, with the ids they have. */
export interface InboxBatchOutcome {
  /** The entries that are known already, by index: with what was sent then; or EVT_INBOX_CONFLICT, where the digest is another. */
  readonly known: ReadonlyMap<number, readonly StagedMessage[] | EventingError>;
  /** What was sent for all the others, together. Empty where an outbox of the same transaction relays it. */
  readonly outputs: readonly StagedMessage[];
}

/**
 * A store in which what a listener did and the record that it has handled the event commit together: exactly-once effects on any
 * provider. One an application: `forRoot({ inbox })`. Where there is one, every exactly-once listener runs inside it; where its provider
 * has transactions too, the outputs go with the accept.
 */
export interface Inbox {
  /** Before the first subscription. Rejects with an `EventingError` for what waiting will not mend: a schema that is too old. */
  start?(): Promise<void>;

  /**
   * Runs `work` in a transaction of the store, with the record of the entry; commits when it resolves. What is sent inside is staged
   * in the unit of work given. Where the entry is known already, `work` does not run and the outputs of then are returned.
   *
   * Rejects with what `work` rejected with, after rolling back; with EVT_INBOX_CONFLICT where the entry is known with another
   * digest; else where the store is away, and then nothing was done. Where another transaction has the entry and is still open, waits
   * for its end.
   */
  once(entry: InboxEntry, work: (unitOfWork: UnitOfWork) => Promise<void>): Promise<InboxOutcome>;

  /**
   * The same for the events of a batch of one listener, in one transaction. `work` is given the indices of those that are not known, the
   * first of those that are one event; where there are none it does not run. All of them are handled, or none: rejects as `once` does,
   * but with no conflict. Without it listeners that take batches cannot be exactly-once.
   */
  onceAll?(
    entries: readonly InboxEntry[],
    work: (fresh: readonly number[], unitOfWork: UnitOfWork) => Promise<void>,
  ): Promise<InboxBatchOutcome>;

  /** After the last listener has returned. Never rejects. */
  stop?(): Promise<void>;
}
