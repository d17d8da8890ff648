import type { Timer } from '../clock.js';
import type { LetterRelease } from '../dead-letters/dead-letter.sequences.js';
import type { AbortSource } from '../envelope/envelope.js';
import type { Delivery } from '../provider/event-provider.js';
import type { Batch, BatchJob } from './batch.lanes.js';
import type { LaneJob } from './lanes.js';
import type { Read } from './message.reader.js';

/**
 * Where a delivery stands with us.
 * `queued`: waits for its lane or for room. `executing`: is read, or handled by a listener. `waiting`: holds its lane until a
 * time. `settling`: on its way to a new place. `gone`: released, revoked or done; whoever finds it passes it over.
 */
export type JobState = 'queued' | 'executing' | 'waiting' | 'settling' | 'gone';

/** One delivery from its arrival to its settlement. */
export class DeliveryJob implements BatchJob {
  state: JobState = 'queued';
  /** Number of the attempt that runs, or comes next. */
  attempt: number;
  firstFailedAt: number | undefined = undefined;
  read: Read | undefined = undefined;
  /** Counts runs of the listener, so that one given up for lost cannot settle what came after. */
  run = 0;
  /** When the running attempt times out, milliseconds since 1970; 0 while none runs. */
  deadline = 0;
  timedOut = false;
  /** Its source or this process is on the way out: what does not succeed now is dropped unsettled, or handed back. */
  leaving: 'dropped' | 'released' | undefined = undefined;
  abort: AbortSource | undefined = undefined;
  /** The time for which it holds its lane, milliseconds since 1970; it has no turn before. */
  heldUntil = 0;
  batch: Batch | undefined = undefined;
  /** What a batch listener gets for it: parsed when its turn came. */
  body: object | undefined = undefined;
  timer: Timer | undefined = undefined;
  /** What goes with its accept, and the bytes of their bodies. */
  outputs = 0;
  outputBytes = 0;
  /** It counts no more among those that are open at its source: see `OutputAllowance`. */
  hasLeft = false;
  /** The store of dead letters was asked, and lets it be handled. */
  admitted = false;

  // Links, kept here so that queueing and tracking allocate nothing.
  nextInLane: LaneJob | undefined = undefined;
  before: DeliveryJob | undefined = undefined;
  after: DeliveryJob | undefined = undefined;
  open = false;

  constructor(
    readonly delivery: Delivery,
    readonly lane: string | undefined,
    /** It is a dead letter of a sequence that was sent again. */
    readonly release?: LetterRelease,
  ) {
    this.attempt = delivery.attempt;
  }

  /** For log lines: what it is, its story and its place. */
  toString(): string {
    const message = this.read?.message;
    const place = `${this.delivery.channel} ${this.delivery.position}`;
    if (message === undefined) return place;
    const { name, id, correlationId } = message;
    return `"${name.slice(0, 200)}" ${id.slice(0, 100)} (correlation ${correlationId.slice(0, 100)}) at ${place}`;
  }
}
