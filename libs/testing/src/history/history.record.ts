/** An event by a name of its own, unique in its channel: one that the body carries, so that a second copy under another id is recognised. */
export interface EventName {
  readonly channel: string;
  readonly event: string;
}

/** What is known of an event wherever it is seen. */
export interface EventFacts extends EventName {
  /** Events of one channel and key are in order; without a key there is none. */
  readonly key?: string;
  /** Its place among the events of its key. Need not be without gaps. */
  readonly sequence?: number;
  /** The id of its envelope, by which an inbox knows it. */
  readonly message?: string;
}

/**
 * One line of a history. `at`, `from` and `to` are milliseconds of one clock for all processes, at best a monotonic one: `historyTime()` is
 * that of the machine. A process writes what it does when it does it (`send`, `answer`, `transaction`, `started`, `ended`, `failed`); whoever
 * brings faults about writes those; and when all is over somebody else than the service reads what is left (`row`, `published`,
 * `effect`, `inbox`, `outbox`), and says with `read` that he has read all of it, so that what is missing there is missing.
 */
export type HistoryRecord =
  | SendRecord
  | AnswerRecord
  | TransactionRecord
  | RowRecord
  | PublishedRecord
  | StartedRecord
  | EndedRecord
  | EffectRecord
  | InboxRecord
  | OutboxRecord
  | FaultRecord
  | ReadRecord
  | MarkRecord;

/** Written just before `sendEvent` is called. */
export interface SendRecord extends EventFacts {
  readonly kind: 'send';
  readonly at: number;
  readonly process: string;
  /** What it is sent in, where it goes through an outbox or out of an exactly-once listener: then that decides what becomes of it. */
  readonly transaction?: string;
}

/** What the sender was told. `refused`: it is not stored. `indeterminate`: it may be. */
export type SendAnswer = 'acknowledged' | 'refused' | 'indeterminate';

export interface AnswerRecord extends EventName {
  readonly kind: 'answer';
  readonly at: number;
  readonly process: string;
  readonly outcome: SendAnswer;
}

/**
 * `committing`: just before the commit is asked for. `committed`: it was answered. `rolled back`: on purpose, or because the work failed; not
 * where the answer to a commit was lost.
 */
export interface TransactionRecord {
  readonly kind: 'transaction';
  readonly at: number;
  readonly process: string;
  readonly transaction: string;
  readonly state: 'committing' | 'committed' | 'rolled back';
}

/** A row that names its transaction was found in the database: it has committed, whatever anybody was told. */
export interface RowRecord {
  readonly kind: 'row';
  readonly transaction: string;
}

/** One message that an independent reader found with the broker; each copy, and those of one key in the broker's order. */
export interface PublishedRecord extends EventFacts {
  readonly kind: 'published';
}

/** A listener was called. */
export interface StartedRecord extends EventFacts {
  readonly kind: 'started';
  readonly at: number;
  readonly process: string;
  readonly listener: string;
  readonly attempt?: number;
}

/** It returned, or it threw. Of one that was killed there is neither. */
export interface EndedRecord extends EventName {
  readonly kind: 'ended' | 'failed';
  readonly at: number;
  readonly process: string;
  readonly listener: string;
}

/** What a listener did to the world, one record for each time that it is seen there. */
export interface EffectRecord extends EventName {
  readonly kind: 'effect';
  readonly listener: string;
  readonly message?: string;
}

/** An inbox has on record that the listener handled the message of this id. */
export interface InboxRecord {
  readonly kind: 'inbox';
  readonly listener: string;
  readonly message: string;
}

/** A row of an outbox, with the `retention` that keeps those that were sent. */
export interface OutboxRecord extends EventName {
  readonly kind: 'outbox';
  readonly message?: string;
  readonly state: 'waiting' | 'retrying' | 'failed' | 'sent';
}

/** `killed`: it never came back. `stopped`: it was frozen, and went on. `cut off`: it, or what all of them need, was away. */
export interface FaultRecord {
  readonly kind: 'fault';
  readonly fault: 'killed' | 'stopped' | 'cut off';
  /** All of them, where none is named. */
  readonly process?: string;
  /** What it was done to, where it was no process of the service: `postgres`. */
  readonly what?: string;
  /** Just before it, and when it was over. */
  readonly from: number;
  readonly to: number;
}

/** What was read to its end when all was over. */
export type Evidence = 'rows' | 'published' | 'effects' | 'inbox' | 'outbox';

export interface ReadRecord {
  readonly kind: 'read';
  readonly what: Evidence;
}

/** A remark, for whoever looks into the file: the checker passes over it. */
export interface MarkRecord {
  readonly kind: 'mark';
  readonly at: number;
  readonly process: string;
  readonly mark: string;
}

/** Milliseconds of the machine's monotonic clock: the same for all of its processes, and it goes on while one of them is stopped. */
export function historyTime(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
