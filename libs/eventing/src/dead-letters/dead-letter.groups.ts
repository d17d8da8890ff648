import type { DeadLetterReason } from './dead-letter.js';
import type { FoundDeadLetter } from './dead-letter.scanner.js';

/** Dead letters that fail alike. */
export interface DeadLetterGroup {
  readonly listener: string;
  readonly reason: DeadLetterReason;
  /** The code of the error, where it has one; else its name. */
  readonly error: string;
  readonly count: number;
  /** When the first and the last of them were given up, milliseconds since 1970. */
  readonly firstAt: number;
  readonly lastAt: number;
  /** The last of them: its id, its event's name, and its error's message. */
  readonly sample: { readonly id: string; readonly event: string | undefined; readonly message: string };
}

export interface DeadLetterGroups {
  /** The largest first; 1000 at most. */
  readonly groups: readonly DeadLetterGroup[];
  /** Letters in all, and how many of them are in no group since there were 1000 already. */
  readonly letters: number;
  readonly ungrouped: number;
}

const MOST_GROUPS = 1000;

/** Counts letters as they come by; keeps one line a group. */
export class DeadLetterTally {
  readonly #groups = new Map<string, DeadLetterGroup>();
  #letters = 0;
  #ungrouped = 0;

  add(letter: FoundDeadLetter): void {
    this.#letters++;
    const { listener, reason, deadAt, id } = letter;
    const error = letter.error.code ?? letter.error.name;
    const key = JSON.stringify([listener, reason, error]);
    const before = this.#groups.get(key);
    if (before === undefined && this.#groups.size >= MOST_GROUPS) {
      this.#ungrouped++;
      return;
    }
    const isLast = before === undefined || deadAt >= before.lastAt;
    this.#groups.set(key, {
      listener,
      reason,
      error,
      count: (before?.count ?? 0) + 1,
      firstAt: Math.min(before?.firstAt ?? deadAt, deadAt),
      lastAt: Math.max(before?.lastAt ?? deadAt, deadAt),
      sample: isLast ? { id, event: letter.event?.name, message: letter.error.message } : before.sample,
    });
  }

  result(): DeadLetterGroups {
    const groups = [...this.#groups.values()].sort((a, b) => b.count - a.count || b.lastAt - a.lastAt);
    return { groups, letters: this.#letters, ungrouped: this.#ungrouped };
  }
}
