import type { Clock, Timer } from 'nestjs-eventing';
import { sourceName, type TopicPartition } from './kafka.driver.js';

/** Partitions that are to be given up after a pause, unless they leave by another way before: what comes back is not to be given up. */
export class DelayedSurrender {
  private readonly timers = new Map<string, Timer>();

  constructor(
    private readonly clock: Clock,
    private readonly surrender: (sources: readonly TopicPartition[]) => void,
  ) {}

  /** @param pause milliseconds; 0: at once */
  after(pause: number, sources: readonly TopicPartition[]): void {
    this.forget(sources);
    if (pause === 0) return this.surrender(sources);
    for (const source of sources) {
      const due = (): void => {
        this.timers.delete(sourceName(source));
        this.surrender([source]);
      };
      this.timers.set(sourceName(source), this.clock.setTimeout(due, pause));
    }
  }

  forget(sources: readonly TopicPartition[]): void {
    for (const name of sources.map(sourceName)) {
      this.timers.get(name)?.cancel();
      this.timers.delete(name);
    }
  }

  /** None of them is given up any more. */
  stop(): void {
    for (const timer of this.timers.values()) timer.cancel();
    this.timers.clear();
  }
}
