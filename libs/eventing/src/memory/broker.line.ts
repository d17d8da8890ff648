/** A call that waits for the connection. */
export interface LineWaiter {
  /** It is not called any more. Idempotent. */
  cancel(): void;
}

/** Whether the broker can be reached, and who waits for it, in the order in which they came. */
export class BrokerLine {
  private waiters = new Set<() => void>();
  private reachable = true;

  get up(): boolean {
    return this.reachable;
  }

  /** Calls `fn` when the connection is back, after those who came before. */
  wait(fn: () => void): LineWaiter {
    // Its own function: one `fn` may wait twice.
    const entry = (): void => fn();
    this.waiters.add(entry);
    return { cancel: () => void this.waiters.delete(entry) };
  }

  cut(): void {
    this.reachable = false;
  }

  mend(): void {
    this.reachable = true;
    const waiters = this.waiters;
    this.waiters = new Set();
    for (const fn of waiters) fn();
  }
}
