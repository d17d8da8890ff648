import type { Clock, Timer } from '../clock.js';

/** Messages that wait for their time, on the broker's clock. */
export class DeferredMessages {
  private readonly timers = new Set<{ timer: Timer }>();

  constructor(private readonly clock: Clock) {}

  get size(): number {
    return this.timers.size;
  }

  /** Calls `comeBack` once, not before `notBefore` (milliseconds since 1970); in this call, if that has passed. */
  add(notBefore: number, comeBack: () => void): void {
    if (this.clock.now() >= notBefore) return comeBack();
    const fire = (): void => {
      // A timer can be early: a clock that was set back, or a wait longer than a timer can hold.
      if (this.clock.now() < notBefore) {
        entry.timer = this.arm(notBefore, fire);
        return;
      }
      this.timers.delete(entry);
      comeBack();
    };
    const entry = { timer: this.arm(notBefore, fire) };
    this.timers.add(entry);
  }

  clear(): void {
    for (const entry of this.timers) entry.timer.cancel();
    this.timers.clear();
  }

  private arm(notBefore: number, fire: () => void): Timer {
    return this.clock.setTimeout(fire, Math.max(0, notBefore - this.clock.now()));
  }
}
