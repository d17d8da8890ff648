import { backoff, type Clock } from 'nestjs-eventing';
import type { PositionNotes } from './commit.metadata.js';
import type { PartitionTracker } from './partition.tracker.js';

/** Takings-over of one partition that are not farther apart belong together. Milliseconds. */
const SPELL = 60_000;
/** Between two of a spell, at most. Milliseconds. */
const LONGEST_PAUSE = 5_000;

interface Takeover {
  readonly at: number;
  readonly count: number;
  /** Until it is ours again, or another's. */
  attemptAt: ((offset: number) => number) | undefined;
}

/** Partitions that this process gives up in order to take them over anew, since the fate of a transaction was in doubt. */
export class Takeovers {
  private readonly last = new Map<string, Takeover>();

  constructor(private readonly clock: Clock) {}

  /** One more. Which of its spell it is, and how many milliseconds to wait before it. */
  begin(name: string, tracker: PartitionTracker | undefined): { readonly count: number; readonly pause: number } {
    const at = this.clock.now();
    const before = this.last.get(name);
    const isSpell = before !== undefined && at - before.at < SPELL;
    const count = isSpell ? before.count + 1 : 1;
    this.last.set(name, { at, count, attemptAt: tracker?.attempts() ?? before?.attemptAt });
    return { count, pause: count === 1 ? 0 : backoff(count, 50, LONGEST_PAUSE) };
  }

  /** They are another's: what is on record when they come back was noted by somebody else. */
  forget(names: readonly string[]): void {
    for (const name of names) {
      const takeover = this.last.get(name);
      if (takeover !== undefined) takeover.attemptAt = undefined;
    }
  }

  /** What is on record was noted by us for the case that we die. We did not: that the work was cut short is not an attempt. */
  correct(name: string, offset: number, notes: PositionNotes): PositionNotes {
    const takeover = this.last.get(name);
    const attempt = takeover?.attemptAt?.(offset);
    if (takeover !== undefined) takeover.attemptAt = undefined;
    return attempt !== undefined && notes.attempt === attempt + 1 ? { ...notes, attempt } : notes;
  }
}
