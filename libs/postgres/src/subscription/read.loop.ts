import { Alarm, backoff } from 'nestjs-eventing';
import type { ReadFrom, ReadResult } from '../log/event.reader.js';
import type { SourceTracker } from './source.tracker.js';

export interface ReadLoopOptions {
  /** Milliseconds after which it looks although nobody woke it. */
  readonly pollInterval: number;
  /** Of the bodies of one answer. */
  readonly readBytes: number;
  trackers(): Iterable<SourceTracker>;
  read(wanted: readonly ReadFrom[]): Promise<ReadResult>;
  /** Told once until it works again. */
  failed(error: unknown): void;
}

/** So many of a source are read at first, when nothing is known of their sizes. */
const FIRST_READ = 64;
/** Pauses while something was stored that cannot be read yet, because an older transaction is under way. */
const SHORTEST_PAUSE = 2;

/** Reads for all sources of a subscription, with one statement at a time, as much as there is room for. */
export class ReadLoop {
  private readonly alarm = new Alarm();
  private awake = true;
  private stopped = false;
  private running: Promise<void> | undefined;
  /** Of an event, as read lately. */
  private averageBytes = 0;
  private most = FIRST_READ;
  /** What was stored before this transaction is not all readable yet; undefined: it is. */
  private awaited: number | undefined;
  private held = 0;
  private failures = 0;

  constructor(private readonly options: ReadLoopOptions) {}

  start(): void {
    this.running ??= this.run();
  }

  /** There is room, or something new: look now. */
  wake(): void {
    if (this.awake) return;
    this.awake = true;
    this.alarm.wake();
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.alarm.wake();
    await this.running;
  }

  private async run(): Promise<void> {
    while (!this.stopped) {
      this.awake = false;
      const pause = await this.once().then(
        (next) => {
          this.failures = 0;
          return next;
        },
        (error: unknown) => {
          this.failures++;
          if (this.failures === 1) this.options.failed(error);
          return backoff(this.failures, 50, 2_000);
        },
      );
      if (!this.awake || this.failures > 0) await this.rest(pause);
    }
  }

  private async rest(pause: number): Promise<void> {
    if (this.stopped || pause === 0) return;
    await this.alarm.sleep(pause);
    // Nobody is told of what was stored while an older transaction held it back, nor of what was missed.
    for (const tracker of this.options.trackers()) tracker.look();
  }

  /** @returns how long to rest */
  private async once(): Promise<number> {
    const trackers = [...this.options.trackers()].filter(({ wanted }) => wanted > 0);
    if (trackers.length === 0) return this.options.pollInterval;
    const most = this.mostOfEach(trackers.length);
    const wanted = trackers.map((tracker) => ({
      ...tracker.source,
      from: tracker.unread,
      most: Math.min(tracker.wanted, most),
    }));
    const { events, bytes, horizon, next } = await this.options.read(wanted);
    const count = events.reduce((sum, { length }) => sum + length, 0);
    if (count > 0) {
      this.averageBytes = Math.max(bytes / count, this.averageBytes * 0.9);
      this.most *= 4;
    }
    let more = false;
    for (let index = 0; index < trackers.length; index++) {
      const found = events[index] ?? [];
      const full = found.length >= (wanted[index]?.most ?? 0);
      more ||= full;
      trackers[index]?.take(found, full);
    }
    if (more) return 0;
    return this.pause(horizon, next);
  }

  private mostOfEach(sources: number): number {
    const bySize = this.averageBytes === 0 ? Infinity : this.options.readBytes / this.averageBytes / sources;
    this.most = Math.max(1, Math.min(this.most, 100_000));
    return Math.max(1, Math.floor(Math.min(this.most, bySize)));
  }

  /** Short while something may be stored that is not readable yet, longer the longer that lasts. */
  private pause(horizon: number, next: number): number {
    this.awaited ??= next;
    if (horizon >= this.awaited) {
      this.awaited = undefined;
      this.held = 0;
      return this.options.pollInterval;
    }
    this.held++;
    return Math.min(this.options.pollInterval, SHORTEST_PAUSE * 1.5 ** Math.min(this.held, 40));
  }
}
