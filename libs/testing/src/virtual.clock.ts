import type { Clock, Timer } from 'nestjs-eventing';

interface Entry {
  readonly due: number;
  readonly fn: () => void;
}

/** Turns of the event loop that code gets between two timers. */
const TURNS = 4;

// Taken now, so that a test framework's fake timers do not stop this clock.
const immediately = setImmediate;

/**
 * A clock that stands still until a test moves it. Give it to `forRoot({ clock })`, `new MemoryBroker({ clock })` or a
 * provider's context, then `await clock.advance(60_000)`: a minute of back-off in no time.
 */
export class VirtualClock implements Clock {
  /** By time, then in the order they were made. */
  private readonly timers: Entry[] = [];
  private moving: Promise<void> = Promise.resolve();

  /** @param time milliseconds since 1970 at which it stands; default 2026-01-01T00:00Z */
  constructor(private time: number = Date.UTC(2026, 0, 1)) {}

  now(): number {
    return this.time;
  }

  /** Timers that have not fired. */
  get pending(): number {
    return this.timers.length;
  }

  /** When each of them is due, milliseconds since 1970, the earliest first. */
  get dueTimes(): number[] {
    return this.timers.map(({ due }) => due);
  }

  setTimeout(fn: () => void, ms: number): Timer {
    const entry: Entry = { due: this.time + (ms > 0 ? ms : 0), fn };
    let index = this.timers.length;
    while (index > 0 && (this.timers[index - 1] as Entry).due > entry.due) index--;
    this.timers.splice(index, 0, entry);
    return {
      cancel: () => {
        const at = this.timers.indexOf(entry);
        if (at >= 0) this.timers.splice(at, 1);
      },
    };
  }

  /**
   * Moves on by `ms` milliseconds. Fires what comes due in order of time, also timers made on the way; before, between and
   * after them microtasks and immediates run, for a few turns of the event loop. Calls queue up behind each other: do not
   * await one inside a timer. Rejects with what a timer throws.
   */
  advance(ms: number): Promise<void> {
    return this.move(async () => {
      const end = this.time + ms;
      await settle();
      while ((this.timers[0]?.due ?? Infinity) <= end) await this.fireNext();
      this.time = end;
    });
  }

  /**
   * Fires timers until none is left, however far away they are.
   * @param limit throws when more than so many have fired: something arms itself again for ever
   */
  runAll(limit = 10_000): Promise<void> {
    return this.move(async () => {
      await settle();
      for (let fired = 0; this.timers.length > 0; fired++) {
        if (fired >= limit) {
          throw new Error(
            `${limit} timers have fired and ${this.timers.length} are left: use advance(), or raise the limit`,
          );
        }
        await this.fireNext();
      }
    });
  }

  private async fireNext(): Promise<void> {
    const next = this.timers.shift();
    if (next === undefined) return;
    this.time = Math.max(this.time, next.due);
    next.fn();
    await settle();
  }

  private move(step: () => Promise<void>): Promise<void> {
    const moved = this.moving.then(step);
    // One that failed does not stop the next.
    this.moving = moved.catch(() => undefined);
    return moved;
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < TURNS; turn++) await new Promise<void>((resolve) => immediately(resolve));
}
