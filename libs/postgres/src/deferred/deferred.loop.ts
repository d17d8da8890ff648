import { Alarm, backoff } from 'nestjs-eventing';
import type { HeldMessages, Take, Taken } from './deferred.table.js';
import type { DeferredTracker } from './deferred.tracker.js';

export interface DeferredLoopOptions {
  /** Milliseconds after which it looks although nobody woke it. */
  readonly pollInterval: number;
  trackers(): Iterable<DeferredTracker>;
  take(takes: readonly Take[]): Promise<Taken>;
  /** Taken, but the source was lost meanwhile. */
  giveBack(held: readonly HeldMessages[]): Promise<void>;
  /** Told once until it works again. */
  failed(error: unknown): void;
}

/** So many of a source are taken at once. */
const MOST_OF_EACH = 100;

/** Takes what is due for all sources of a subscription, with one statement at a time. */
export class DeferredLoop {
  private readonly alarm = new Alarm();
  private awake = true;
  private stopped = false;
  private running: Promise<void> | undefined;
  private looking: Promise<number> | undefined;
  private failures = 0;

  constructor(private readonly options: DeferredLoopOptions) {}

  start(): void {
    this.running ??= this.run();
  }

  wake(): void {
    if (this.awake) return;
    this.awake = true;
    this.alarm.wake();
  }

  /** Resolves when what is being taken at the moment is in the hands of its trackers. */
  async idle(): Promise<void> {
    await this.looking?.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.alarm.wake();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      this.awake = false;
      let pause: number;
      try {
        this.looking = this.once();
        pause = await this.looking;
        this.failures = 0;
      } catch (error) {
        this.failures++;
        if (this.failures === 1) this.options.failed(error);
        pause = backoff(this.failures, 50, 2_000);
      }
      if (!this.stopped && pause > 0 && (!this.awake || this.failures > 0)) await this.alarm.sleep(pause);
    }
  }

  /** @returns how long to rest */
  private async once(): Promise<number> {
    const { pollInterval } = this.options;
    const trackers = [...this.options.trackers()].filter(({ wanted }) => wanted > 0);
    if (trackers.length === 0) return pollInterval;
    const takes = trackers.map((tracker) => ({
      ...tracker.source,
      generation: tracker.generation,
      most: Math.min(tracker.wanted, MOST_OF_EACH),
      suspects: tracker.wantsSuspects,
    }));
    try {
      const { messages, nextDue } = await this.options.take(takes);
      let more = false;
      const late: HeldMessages[] = [];
      for (let index = 0; index < trackers.length; index++) {
        const [tracker, taken, take] = [trackers[index], messages[index] ?? [], takes[index]];
        if (tracker === undefined || take === undefined) continue;
        if (tracker.isClosed) late.push(tracker.these(taken.map(({ number }) => number)));
        else if (tracker.take(taken, take)) more = true;
      }
      if (late.length > 0) await this.options.giveBack(late);
      return more ? 0 : Math.max(1, Math.min(pollInterval, nextDue ?? pollInterval));
    } catch (error) {
      for (const tracker of trackers) tracker.unsure();
      throw error;
    }
  }
}
