import type { FaultRecord } from '../../libs/testing/src/index.js';

/** An event of these tests: the so-manieth of its key, counted by its sender from 0. */
export interface Numbered {
  readonly key: string;
  readonly number: number;
}

/**
 * What a process notes. `at` is in milliseconds of the machine's monotonic clock, which is the same for all its processes and
 * goes on while one of them is stopped.
 */
export type HistoryLine =
  | { readonly kind: 'ready'; readonly at: number }
  | ({ readonly kind: 'sent' | SendOutcome; readonly at: number; readonly why?: string } & Numbered)
  | ({ readonly kind: 'started'; readonly at: number; readonly attempt: number } & Numbered)
  | ({ readonly kind: 'ended'; readonly at: number } & Numbered);

/** `refused`: the sender was told that it is not stored. `indeterminate`: that it may be. */
export type SendOutcome = 'acknowledged' | 'refused' | 'indeterminate';

export interface Send extends Numbered {
  readonly at: number;
  readonly outcome: SendOutcome | 'unanswered';
}

/** One record of the channel, as a client that is not ours reads it. */
export interface Stored extends Numbered {
  readonly partition: number;
  readonly offset: number;
}

/** One call of the listener. */
export interface Handling extends Numbered {
  readonly process: string;
  readonly attempt: number;
  readonly from: number;
  /** Absent where it never returned. */
  readonly to: number | undefined;
}

/** A position of the group, as the broker told it to a bystander at some time. */
export interface Sighting {
  readonly at: number;
  readonly partition: number;
  /** Everything before it was settled. */
  readonly offset: number;
}

/** A position that the group wrote down. */
export interface Committed {
  readonly partition: number;
  /** Everything before it was settled. */
  readonly offset: number;
}

/** Everything that is known of one trial, of all its processes. */
export interface History {
  readonly sends: readonly Send[];
  /** Each partition in its order. */
  readonly stored: readonly Stored[];
  readonly handlings: readonly Handling[];
  readonly sightings: readonly Sighting[];
  /** Each partition's in its order. */
  readonly commits: readonly Committed[];
  readonly faults: readonly FaultRecord[];
}

export function nameOf({ key, number }: Numbered): string {
  return `${key}#${number}`;
}
