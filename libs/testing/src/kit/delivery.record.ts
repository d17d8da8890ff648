import type { Clock, DeadLetter, Delivery, Envelope, ListenerDescriptor } from 'nestjs-eventing';

/** One call of a listener, pipelines included. Times in virtual milliseconds since 1970. */
export interface Attempt {
  /** As the envelope tells it: 1, or more. */
  readonly number: number;
  /** `running` for ever, where a listener never returned. */
  readonly outcome: 'running' | 'succeeded' | 'failed';
  /** What was thrown. */
  readonly error?: unknown;
  readonly startedAt: number;
  readonly endedAt?: number;
}

/** What became of one event at one listener. */
export interface Delivered<T extends object = object> {
  /** The listener's name; that of its subscription, where the message could not be read so far as to tell. */
  readonly listener: string;
  readonly service: string;
  /** The process that had it last. */
  readonly instance: string;
  /**
   * `handled`: done. `dead`: given up. `skipped`: nobody there asked for it. `open`: it waits, is being handled, or will be
   * retried.
   */
  readonly outcome: 'handled' | 'dead' | 'skipped' | 'open';
  /** As the listener got it at the latest attempt; `undefined` where it was not called. */
  readonly envelope: Envelope<T> | undefined;
  /** Every call, the first one first; none for what was refused before the listener (undecodable, invalid, expired). */
  readonly attempts: readonly Attempt[];
  readonly deadLetter?: DeadLetter;
}

/** One that was handled. */
export interface Handled<T extends object = object> extends Delivered<T> {
  readonly outcome: 'handled';
  readonly envelope: Envelope<T>;
}

export type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

/** One message at one subscription, over all its deliveries. */
export class DeliveryRecord {
  readonly attempts: Writable<Attempt>[] = [];
  envelope: Envelope | undefined;
  letter: DeadLetter | undefined;
  /** The application that had it last, and its provider's name. */
  holder: { readonly instance: string } | undefined;
  provider = '';
  /** The listener it is for, once that is known. */
  listener: ListenerDescriptor | undefined;
  /** The delivery that can settle it; `undefined` while it is on its way back. */
  turn: Delivery | undefined;
  accepted = false;
  /** It was given up, whether or not the store took the letter. */
  buried = false;
  /** When it was done, among the others; 0 before. */
  place = 0;

  constructor(
    readonly service: string,
    readonly subscription: string,
    readonly instance: string | undefined,
    /** Unknown where it cannot be read. */
    readonly id: string | undefined,
    /** For messages: its event and id; its position where it cannot be read. */
    readonly label: string,
    private readonly clock: Clock,
  ) {}

  get outcome(): Delivered['outcome'] {
    if (this.buried) return 'dead';
    if (!this.accepted) return 'open';
    const last = this.attempts.at(-1);
    if (last === undefined) return 'skipped';
    // Accepted before it was called.
    return last.outcome === 'running' && this.listener?.guarantee === 'at-most-once' ? 'open' : 'handled';
  }

  /** A listener is at it, and may still decide what becomes of it: it is not settled, taken back or given up. */
  get running(): Attempt | undefined {
    const last = this.attempts.at(-1);
    const counts = this.outcome === 'open' && (this.turn !== undefined || this.accepted);
    return counts && last?.outcome === 'running' && this.clock.now() < this.#timesOut(last) + this.#grace
      ? last
      : undefined;
  }

  /** When the kernel next loses patience with the attempt that runs, on the virtual clock; never, where none does. */
  get deadline(): number {
    const { running } = this;
    if (running === undefined) return Infinity;
    const timesOut = this.#timesOut(running);
    return this.clock.now() < timesOut ? timesOut : timesOut + this.#grace;
  }

  #timesOut({ startedAt }: Attempt): number {
    return startedAt + (this.listener?.timeout ?? Infinity);
  }

  get #grace(): number {
    return this.listener?.timeoutGrace ?? 0;
  }

  snapshot(): Delivered {
    return {
      listener: this.listener?.name ?? this.subscription,
      service: this.service,
      instance: this.holder?.instance ?? '',
      outcome: this.outcome,
      envelope: this.envelope,
      attempts: this.attempts.map((attempt) => ({ ...attempt })),
      ...(this.letter === undefined ? {} : { deadLetter: this.letter }),
    };
  }

  /** For messages: where it stands. */
  toString(): string {
    const who = `${this.listener?.label ?? this.subscription} of ${this.service}`;
    const { running } = this;
    if (running !== undefined)
      return `${who} is at attempt ${running.number} of ${this.label} since ${time(running.startedAt)}`;
    const failed = this.attempts.at(-1)?.error;
    const why = failed === undefined ? '' : ` (attempt ${this.attempts.length} failed: ${brief(failed)})`;
    return `${who} has not handled ${this.label}${why}`;
  }
}

const time = (at: number): string => new Date(at).toISOString();
const brief = (error: unknown): string => (error instanceof Error ? error.message : String(error)).slice(0, 200);
