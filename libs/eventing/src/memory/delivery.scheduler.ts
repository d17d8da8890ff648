import { AsyncResource } from 'node:async_hooks';
import { Deque } from './deque.js';
import type { QueueMember } from './queue.member.js';

/** Milliseconds for which one turn of the event loop takes and delivers messages. */
const TURN = 4;
/** Messages that one member gets before the next has its go. */
const SLICE = 32;

// Taken now, so that a test's fake timers do not stop the broker.
const immediately = setImmediate;
const NOW = Promise.resolve();
const elapsed = performance.now.bind(performance);

/**
 * When messages are delivered: never inside the call that caused it, but in a microtask right after, once for a whole burst.
 * Once `TURN` milliseconds have gone to it, listeners' own work in between included, the rest waits for the next turn of the
 * event loop: neither timers nor sockets starve while listeners work through a backlog, or release a message for ever. It is
 * time and not a number, because a number would hold quick listeners below what a sender can send.
 */
export class DeliveryScheduler {
  /** While false nothing is delivered. */
  open = true;
  /** Nothing of a sender's (its request, its transaction) may reach a listener but what the message carries. */
  private readonly context = new AsyncResource('MemoryBroker');
  private readonly row = new Deque<QueueMember>();
  private microtask = false;
  /** When this turn has had enough; undefined before its first message. */
  private deadline: number | undefined;
  private exhausted = false;
  private senders: (() => void)[] = [];

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

  /**
   * For a sender that has stored something: undefined, or, where this turn has had enough, what resolves in the next. Awaiting
   * a send from a real broker lets the event loop turn; without this a loop of sends would keep listeners, and the sockets
   * that they wait for, from ever running.
   */
  breath(): Promise<void> | undefined {
    this.beginTurn();
    this.exhausted ||= this.isOver();
    return this.exhausted ? new Promise((resolve) => this.senders.push(resolve)) : undefined;
  }

  private arm(): void {
    // An exhausted turn has its successor armed.
    if (this.microtask || this.exhausted || !this.open) return;
    this.microtask = true;
    // A promise's microtask: queueMicrotask() costs several times as much in Node.
    void NOW.then(this.runDetached);
  }

  private readonly run = (): void => {
    this.microtask = false;
    while (this.open && !this.exhausted) {
      const member = this.row.shift();
      if (member === undefined) return;
      member.scheduled = false;
      this.beginTurn();
      member.pump(SLICE);
      if (member.hasWork) this.schedule(member);
      this.exhausted = this.isOver();
    }
  };

  /** Calls `fn` outside of the asynchronous context of whoever caused it. */
  detached<T>(fn: () => T): T {
    return this.context.runInAsyncScope(fn);
  }

  private readonly runDetached = (): void => this.detached(this.run);

  private beginTurn(): void {
    if (this.deadline !== undefined) return;
    this.deadline = elapsed() + TURN;
    immediately(this.nextTurn);
  }

  private isOver(): boolean {
    return this.deadline !== undefined && elapsed() >= this.deadline;
  }

  private readonly nextTurn = (): void => {
    this.deadline = undefined;
    this.exhausted = false;
    // Listeners before senders: who overtakes them waits.
    if (this.row.size > 0) this.arm();
    const senders = this.senders;
    this.senders = [];
    for (const resume of senders) resume();
  };
}
