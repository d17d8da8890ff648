import type { Clock, Timer } from 'nestjs-eventing';

export interface LivenessOptions {
  readonly clock: Clock;
  /** Milliseconds without an answer on the usual connection after which one is asked for. */
  readonly interval: number;
  /** Milliseconds of silence, once asked, after which nobody is there. */
  readonly timeout: number;
}

/** Those whose answers are waited for. All of it returns at once. */
export interface LivenessSubject {
  /** Asks for an answer on the usual connection; nothing if there is none now. */
  ask(): void;
  /** The usual connection is silent: find another one. */
  replace(): void;
  /** Nobody has answered for `timeout`. Told once until somebody does. */
  silent(): void;
  answering(): void;
}

/**
 * Notices a broker that falls silent and leaves its connections open: one that is suspended, or behind a network that drops
 * everything. TCP says nothing of it for minutes.
 *
 * An answer from any broker, on any connection, counts as life: what is told is whether the cluster can be reached. A cluster that
 * lost one of several brokers mends itself within seconds, and a service that calls itself unready meanwhile, in all its
 * processes at once, would make an outage of it. No broker stands for the others: Kafka does not show its controller to clients,
 * and each of them answers for where leaders and coordinators are. The usual connection has to be replaced all the same, or
 * those questions would be put to a broker that is gone; so that is the one which is asked, and replaced at half-time.
 */
export class LivenessProbe {
  private timer: Timer | undefined;
  private stopped = false;
  private isSilent = false;
  private askedAt = 0;
  private usualAt = 0;
  private anyAt = 0;

  constructor(
    private readonly options: LivenessOptions,
    private readonly subject: LivenessSubject,
  ) {}

  /** Idempotent. */
  start(): void {
    if (this.timer === undefined && !this.isSilent) this.rest();
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  /** An answer came; `usual`: on the usual connection. */
  answered(usual: boolean): void {
    this.anyAt = this.options.clock.now();
    if (usual) this.usualAt = this.anyAt;
    if (!this.isSilent || this.stopped) return;
    this.isSilent = false;
    this.subject.answering();
    this.rest();
  }

  private rest(): void {
    const { clock, interval } = this.options;
    this.arm(Math.max(0, this.usualAt + interval - clock.now()), () => this.look());
  }

  private look(): void {
    const now = this.options.clock.now();
    if (now - this.usualAt < this.options.interval) return this.rest();
    this.askedAt = now;
    this.subject.ask();
    this.arm(this.options.timeout / 2, () => this.doubt());
  }

  private doubt(): void {
    if (this.usualAt >= this.askedAt) return this.rest();
    this.subject.replace();
    this.arm(this.options.timeout / 2, () => this.judge());
  }

  private judge(): void {
    const { clock, timeout } = this.options;
    const silence = clock.now() - Math.max(this.anyAt, this.askedAt);
    if (silence >= timeout) {
      this.timer = undefined;
      this.isSilent = true;
      this.subject.silent();
    } else if (this.usualAt >= this.askedAt) this.rest();
    else this.arm(timeout - silence, () => this.judge());
  }

  private arm(ms: number, then: () => void): void {
    if (this.stopped) return;
    // A process that was busy or suspended itself has answers which it has not read: they are heard before anybody is judged.
    const hear = (): void => void setImmediate(() => (this.stopped ? undefined : then()));
    this.timer = this.options.clock.setTimeout(hear, ms);
  }
}
