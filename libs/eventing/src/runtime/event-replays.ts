import type { EventListener } from '../declare/event-listener.decorator.js';
import type { StoppedAt } from '../receive/listener.stop.js';

export interface ReplayOptions<T extends object = object> {
  /** The name of a listener that runs in this process: its events, options and pipelines are used. */
  readonly listener: string;
  /**
   * The first event: the earliest that is kept, the first stored at a time (a `Date`, or milliseconds since 1970) or later, or
   * the provider's own positions by source.
   */
  readonly from: 'earliest' | Date | number | { readonly positions: Readonly<Record<string, string>> };
  /** Only what lies on this one of its channels. @default all of them */
  readonly channel?: string;
  /** Called instead of the listener: without its guards, pipes and interceptors. @default the listener itself */
  readonly handler?: EventListener<T>['on'];
}

export interface ReplayReport {
  readonly handled: number;
  /** Of types that the listener did not ask for. */
  readonly skipped: number;
  readonly deadLettered: number;
  /** Given up under `retry.exhausted: 'discard'`. */
  readonly discarded: number;
  /** True where everything up to the end was settled: it was not stopped before, by anyone, and the provider found nothing gone. */
  readonly complete: boolean;
  /** Where it stopped, under `retry.exhausted: 'stop'`. */
  readonly stopped?: StoppedAt;
}

/** A replay that runs. */
export interface Replay {
  /** Unique; part of the name of its subscription, `<listener>#replay-<id>`. */
  readonly id: string;
  readonly listener: string;
  /** Resolves when it has come to its end, or was stopped. Never rejects. */
  readonly ended: Promise<ReplayReport>;
  /** What was done until now. */
  progress(): Omit<ReplayReport, 'complete'>;
  /** Takes nothing new, waits for what is being handled (at most `drain`), and ends it. Idempotent. */
  stop(): Promise<ReplayReport>;
}

/** Shows listeners the past again, beside what they handle now. Injectable. */
export abstract class EventReplays {
  /**
   * Begins to read again, from a time or position up to what is stored at this moment. The live position does not move, and
   * nothing is left behind. `envelope.isReplay` is true. Keys keep their order among themselves, not with what is handled live;
   * a retry holds its key; events that have expired since are handled all the same. What cannot be handled is a dead letter of
   * the listener, the same one as if it had failed the first time; with a `handler`, one of the replay's own name.
   *
   * Resolves when it has begun.
   * @throws EventingError EVT_UNKNOWN_LISTENER, EVT_REPLAY_REFUSED, EVT_POSITION, EVT_NOT_RUNNING
   */
  abstract start<T extends object = object>(options: ReplayOptions<T>): Promise<Replay>;

  /** Those that run in this process. */
  abstract list(): readonly Replay[];
}
