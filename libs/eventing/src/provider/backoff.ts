/** Pause before attempt `attempt` (from 1): doubles from `least` to `most` milliseconds, plus up to as much again by chance. */
export function backoff(attempt: number, least = 100, most = 5_000): number {
  const base = Math.min(most, least * 2 ** Math.min(attempt - 1, 20));
  return base * (0.5 + Math.random() / 2);
}

/**
 * Sleeps, or wakes at once when woken. Keeps the process alive: something that still tries to reach its broker is not finished.
 */
export class Alarm {
  private wakeUp: (() => void) | undefined;
  private rung = false;

  /** Ends the present sleep, or the next one before it begins. */
  wake(): void {
    this.rung = true;
    this.wakeUp?.();
  }

  async sleep(ms: number): Promise<void> {
    if (!this.rung) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.wakeUp = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.wakeUp = undefined;
    }
    this.rung = false;
  }
}

/** Resolves to true when `promise` settled in time, one way or the other. Never rejects. */
export async function settledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  const settled = promise.then(
    () => true,
    () => true,
  );
  const inTime = await Promise.race([settled, late]);
  clearTimeout(timer);
  return inTime;
}
