import type { Clock, Timer } from 'nestjs-eventing';
import type { VirtualClock } from '../virtual.clock.js';

interface WatchedTimer {
  readonly due: number;
  /** Something goes on when it fires (a retry, a deferred message). The others only watch: a timeout. */
  readonly awaited: boolean;
}

/** The kit's clock as an application, or the broker, sees it: knows what its timers are for. */
export class WatchedClock implements Clock {
  readonly timers = new Set<WatchedTimer>();

  /** @param allAwaited also timers that are not to keep a process alive are waited for */
  constructor(
    private readonly clock: VirtualClock,
    private readonly allAwaited: boolean,
  ) {}

  now(): number {
    return this.clock.now();
  }

  setTimeout(fn: () => void, ms: number, keepAlive = false): Timer {
    const entry = { due: this.clock.now() + Math.max(0, ms), awaited: keepAlive || this.allAwaited };
    this.timers.add(entry);
    const timer = this.clock.setTimeout(() => {
      this.timers.delete(entry);
      fn();
    }, ms);
    return {
      cancel: () => {
        this.timers.delete(entry);
        timer.cancel();
      },
    };
  }
}

/** What waits on a virtual clock, seen through all who use it. */
export class Timetable {
  readonly #watched: WatchedClock[] = [];

  constructor(private readonly clock: VirtualClock) {}

  watch(allAwaited: boolean): WatchedClock {
    const watched = new WatchedClock(this.clock, allAwaited);
    this.#watched.push(watched);
    return watched;
  }

  /** The earliest timer for which something waits; `foreign` where it was set on the clock itself: by a test, a listener. */
  nextAwaited(): { readonly due: number; readonly foreign: boolean } | undefined {
    const known = new Map<number, number>();
    let ours = Infinity;
    for (const { timers } of this.#watched)
      for (const { due, awaited } of timers) {
        known.set(due, (known.get(due) ?? 0) + 1);
        if (awaited) ours = Math.min(ours, due);
      }
    const theirs = this.clock.dueTimes.find((due) => {
      const left = known.get(due) ?? 0;
      known.set(due, left - 1);
      return left <= 0;
    });
    if (theirs !== undefined && theirs <= ours) return { due: theirs, foreign: true };
    return ours === Infinity ? undefined : { due: ours, foreign: false };
  }

  /** The earliest timer of all. */
  next(): number | undefined {
    return this.clock.dueTimes[0];
  }
}
