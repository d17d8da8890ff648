import { EventingError, type MemoryBroker, type QueueReport } from 'nestjs-eventing';
import type { VirtualClock } from '../virtual.clock.js';
import type { Journal } from './journal.js';
import type { Timetable } from './watched.clock.js';

export interface SettleOptions {
  /** Real milliseconds for which listeners may work. @default 3000 */
  readonly timeout?: number;
  /** Virtual milliseconds by which the clock is moved at most, for retries and deferred events. @default 3600000, an hour */
  readonly horizon?: number;
  /** Deliveries that may be made meanwhile: events that cause each other for ever make more. @default 10000 */
  readonly limit?: number;
}

/** Real milliseconds in which nothing happens before time moves on while a listener is at work, or a send under way. */
const QUIET = 5;
/** Real milliseconds for which a stop waits for listeners before time moves on to the end of its patience. */
const GOODBYE = 1000;
/** How much of what is open a message names. */
const NAMED = 5;

// Taken now, so that a test framework's fake timers stop nothing here.
const elapsed = performance.now.bind(performance);
const later = setTimeout;
const pause = (): Promise<void> => new Promise((resolve) => void later(resolve, 1));

/** Lets events come to their end, and moves the clock where they wait for it. */
export class Settling {
  constructor(
    private readonly clock: VirtualClock,
    private readonly timetable: Timetable,
    private readonly journal: Journal,
    private readonly brokers: ReadonlyMap<string, MemoryBroker>,
  ) {}

  /** @throws EventingError EVT_NOT_SETTLED */
  async settled({ timeout = 3000, horizon = 3_600_000, limit = 10_000 }: SettleOptions): Promise<void> {
    const { clock, journal } = this;
    const began = elapsed();
    const [virtualBegin, deliveries] = [clock.now(), journal.deliveries];
    const refuse = (why: string): EventingError =>
      new EventingError('EVT_NOT_SETTLED', `settled(): ${why}. ${this.#whatIsOpen()}`);
    let calm = new Calm();
    for (;;) {
      // A few turns of the event loop, and whatever is due.
      await clock.advance(0);
      calm = calm.after(journal.activity);
      if (calm.turns > 0 && !this.#isOpen()) return;
      if (journal.deliveries - deliveries > limit)
        throw refuse(
          `${limit} deliveries were made and more come; do events cause each other for ever? Else raise limit`,
        );
      const due = this.#due(calm);
      if (due !== undefined && due > virtualBegin + horizon)
        throw refuse(`what comes next is due at ${new Date(due).toISOString()}, beyond the horizon of ${horizon} ms`);
      if (elapsed() - began > timeout)
        throw refuse(
          `after ${timeout} ms, and ${clock.now() - virtualBegin} ms on the virtual clock, something is open`,
        );
      if (due !== undefined) await clock.advance(Math.max(0, due - clock.now()));
      else if (calm.milliseconds > QUIET) await pause();
    }
  }

  /** Lets a stop come to its end: its patience with listeners is on the virtual clock, which nobody else moves now. */
  async stopped(stopping: Promise<void>): Promise<void> {
    let over = false;
    const done = stopping.finally(() => (over = true));
    const began = elapsed();
    for (;;) {
      await this.clock.advance(0);
      if (over) return done;
      const next = this.timetable.next();
      if (elapsed() - began > GOODBYE && next !== undefined)
        await this.clock.advance(Math.max(0, next - this.clock.now()));
      else await pause();
    }
  }

  /** To when time may move on, if it may. */
  #due(calm: Calm): number | undefined {
    if (calm.turns === 0) return undefined;
    const awaited = this.timetable.nextAwaited();
    // A listener at work has not failed until its time is over: that time is not made to pass.
    let deadline = Infinity;
    for (const record of this.journal.open) deadline = Math.min(deadline, record.deadline);
    if (deadline !== Infinity) {
      const moves = awaited !== undefined && awaited.due < deadline && (awaited.foreign || calm.milliseconds > QUIET);
      return moves ? awaited.due : undefined;
    }
    if (this.journal.sends.size > 0 && calm.milliseconds <= QUIET) return undefined;
    return awaited?.due ?? this.timetable.next();
  }

  #isOpen(): boolean {
    const { journal } = this;
    if (journal.sends.size > 0 || this.#busyQueues().length > 0) return true;
    // Accepted before its listener was called.
    for (const record of journal.open) if (record.accepted) return true;
    return false;
  }

  /** Those of subscriptions that somebody serves. */
  #busyQueues(): QueueReport[] {
    return [...this.brokers.values()].flatMap((broker) =>
      broker
        .queues()
        .filter(({ members, waiting, unsettled, deferred }) => members > 0 && waiting + unsettled + deferred > 0),
    );
  }

  #whatIsOpen(): string {
    const { sends, open } = this.journal;
    const lines = [
      ...[...sends].map(({ event }) => `sendEvent(${event}) has no answer`),
      ...[...open].map(String),
      ...this.#busyQueues().map(
        ({ name, waiting, unsettled, deferred }) =>
          `queue "${name}": ${waiting} waiting, ${unsettled} unsettled, ${deferred} deferred`,
      ),
    ];
    const more = lines.length > NAMED ? `; and ${lines.length - NAMED} more` : '';
    return `Open: ${lines.slice(0, NAMED).join('; ')}${more}.`;
  }
}

/** For how long nothing has happened. */
class Calm {
  constructor(
    private readonly activity = -1,
    private readonly since = elapsed(),
    /** Looks at which nothing had changed. */
    readonly turns = 0,
  ) {}

  get milliseconds(): number {
    return elapsed() - this.since;
  }

  after(activity: number): Calm {
    return activity === this.activity ? new Calm(activity, this.since, this.turns + 1) : new Calm(activity);
  }
}
