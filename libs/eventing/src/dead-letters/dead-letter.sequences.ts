import type { DeadLetter } from './dead-letter.js';

/** What has to stay in order: one key of one channel, for one subscription. */
export interface SequenceKey {
  readonly listener: string;
  readonly channel: string;
  readonly key: string;
}

/** One sending of a letter to its subscription. Of several of one letter only the last is handled. */
export interface LetterRelease {
  /** The letter's id. */
  readonly letter: string;
  /** Counts the releases of this letter, from 1 on. */
  readonly number: number;
}

/** A letter that is to be sent now. */
export interface ReleasedLetter {
  readonly letter: DeadLetter;
  readonly number: number;
}

/** What became of a wish to send a letter. */
export type ReleaseOutcome =
  | { readonly kind: 'released'; readonly number: number }
  /** Others of its sequence come first. */
  | { readonly kind: 'behind'; readonly first: string }
  /** It is not there, or in no sequence. */
  | { readonly kind: 'gone' };

/**
 * Dead letters that keep the order of their key: the part of a store that listeners with `deadLetters: 'sequenced'` need. The letters of a
 * subscription, channel and key stand in a row in the order in which they were stored, those that `append` got with a `sequence` included.
 * While there is one, later events of the key are put behind it and not handled.
 *
 * A letter that is sent again stays at the head of its row until it has been handled. Each call is atomic, and the calls for one row take
 * effect one after the other, whichever process makes them. `remove` takes letters out of a row as out of the store; whoever stood behind
 * the first is the first then, and waits for a release as that one did.
 */
export interface DeadLetterSequences {
  /**
   * Stores what `letter` returns as the last of the row, if there is one; where there is none it does nothing, and does not call `letter`.
   * Idempotent by the letter's id. The one call that each event of a sequenced listener costs.
   * @returns whether the event is in the row
   */
  park(sequence: SequenceKey, letter: () => DeadLetter): Promise<boolean>;

  /** Before the first letter of a row is sent; also where it was sent before, and then only the new sending counts. Others are refused. */
  release(id: string): Promise<ReleaseOutcome>;

  /** Whether a sending that arrives is the last of its letter, and that has not been handled yet. */
  isCurrent(release: LetterRelease): Promise<boolean>;

  /**
   * The letter has been handled: takes it out and releases the next. Does nothing where the release is not current, with one exception: if
   * the letter is gone and the head of the row was released by this very call before (and its answer was lost, or what came after
   * failed), releases that one again.
   * @returns what is to be sent now
   */
  advance(sequence: SequenceKey, release: LetterRelease): Promise<ReleasedLetter | undefined>;

  /**
   * It could not be handled this time either: puts `letter` in the place of the one with its id, where it waits for another release. Does
   * nothing where the release is not current.
   */
  failed(letter: DeadLetter, release: LetterRelease): Promise<void>;
}
