import { Deque } from './deque.js';
import type { QueueMember } from './queue.member.js';

/** Messages delivered in one turn of the event loop, over all members. */
const TURN = 256;
/** Messages that one member gets before the next has its go. */
const SLICE = 32;

// Taken now, so that a test's fake timers do not stop the broker.
const immediately = setImmediate;

/**
 * When messages are delivered: never inside the call that caused it, but in a microtask right after, once for a whole burst.
 * After `TURN` messages the rest waits for the next turn of the event loop, so that neither timers nor sockets starve while
 * listeners work through a backlog, or while one releases a message for ever.
 */
export class DeliveryScheduler {
  /** While false nothing is delivered. */
  open = true;
  private readonly row = new Deque<QueueMember>();
  private spent = 0;
  private microtask = false;
  private turn = false;

  schedule(member: QueueMember): void {
    if (member.scheduled) return;
    member.scheduled = true;
    this.row.push(member);
    this.arm();
  }

  setOpen(open: boolean): void {
    this.open = open;
    if (open && this.row.size > 0) this.arm();
  }

  private arm(): void {
    if (this.microtask || !this.open) return;
    if (this.spent < TURN) {
      this.microtask = true;
      queueMicrotask(this.run);
    } else this.armTurn();
  }

  private armTurn(): void {
    if (this.turn) return;
    this.turn = true;
    immediately(this.nextTurn);
  }

  private readonly nextTurn = (): void => {
    this.turn = false;
    this.spent = 0;
    if (this.row.size > 0) this.run();
  };

  private readonly run = (): void => {
    this.microtask = false;
    while (this.open && this.spent < TURN) {
      const member = this.row.shift();
      if (member === undefined) break;
      member.scheduled = false;
      this.spent += member.pump(Math.min(SLICE, TURN - this.spent));
      if (member.hasWork) this.schedule(member);
    }
    // Also with nothing left: what was spent is forgiven by the next turn, and only by it.
    if (this.spent > 0) this.armTurn();
  };
}
