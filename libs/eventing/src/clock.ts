/** Time, injected: everything that waits asks a clock, so that a test can move it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /**
   * Calls `fn` once, not before `ms` milliseconds have passed. Only a timer that something waits for (a retry, a drain) is to
   * keep the process alive: one that watches must not. @param keepAlive @default false
   */
  setTimeout(fn: () => void, ms: number, keepAlive?: boolean): Timer;
}

export interface Timer {
  /** Idempotent. */
  cancel(): void;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout(fn, ms, keepAlive = false) {
    // Node fires at once above 2^31 - 1 ms, and may fire up to one millisecond early as Date.now() sees it.
    const timer = setTimeout(fn, Math.min(Math.ceil(ms) + 1, 2_147_483_647));
    if (!keepAlive) timer.unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
