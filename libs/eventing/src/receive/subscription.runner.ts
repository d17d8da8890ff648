import type { Clock } from '../clock.js';
import { deadLetterOf } from '../dead-letters/dead-letter.factory.js';
import { EventingError } from '../errors/eventing.error.js';
import type { Delivery, EventProvider, ProviderLogger, Settlement, Subscriber } from '../provider/event-provider.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { AttemptRunner } from './attempt.runner.js';
import { DeliveryJob } from './delivery.job.js';
import { Failure } from './failure.js';
import { Lanes } from './lanes.js';
import { MessageReader } from './message.reader.js';
import { LONGEST_HOLD } from './retry.policy.js';
import { TimeoutWatch } from './timeout.watch.js';

/** An event not due for longer than this is given back to a provider that can keep it. Milliseconds. */
const WORTH_DEFERRING = 1000;
/** Pauses between tries to settle while the provider cannot. Milliseconds. */
const SETTLE_AGAIN = 1000;

export interface RunnerOptions {
  readonly service: string;
  /** The subscription's name. */
  readonly name: string;
  /** One, or several that share a group. */
  readonly listeners: readonly ListenerDescriptor[];
  readonly provider: EventProvider;
  readonly registry: EventRegistry;
  readonly attempts: AttemptRunner;
  readonly maxBodyBytes: number;
  readonly rebalanceDrain: number;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

/**
 * The kernel's half of a subscription: takes deliveries, gives each its turn in its lane, runs the listener, and decides what
 * becomes of the message. The retry rule of `docs/retries-and-dead-letters.md` lives here.
 */
export class SubscriptionRunner implements Subscriber {
  readonly #jobs = new Set<DeliveryJob>();
  readonly #lanes: Lanes<DeliveryJob>;
  readonly #watch: TimeoutWatch<DeliveryJob>;
  readonly #reader: MessageReader;
  readonly #manyChannels: boolean;
  readonly #waiters = new Set<() => void>();
  #draining = false;
  /** Deliveries passed over because nobody here asked for their type. */
  skipped = 0;

  constructor(private readonly options: RunnerOptions) {
    const { listeners, clock } = options;
    const concurrency = Math.max(...listeners.map((listener) => listener.concurrency));
    this.#lanes = new Lanes(concurrency, (job) => this.#turn(job));
    this.#watch = new TimeoutWatch(clock, (job) => this.#late(job));
    this.#reader = new MessageReader(options.registry, listeners, options.provider.binding, options.maxBodyBytes);
    this.#manyChannels = new Set(listeners.flatMap((listener) => listener.events.map((event) => event.channel))).size > 1;
  }

  /** Deliveries that are not settled. */
  get open(): number {
    return this.#jobs.size;
  }

  deliver(delivery: Delivery): void {
    const { key } = delivery;
    const lane = key === undefined || !this.#manyChannels ? key : `${delivery.channel}\n${key}`;
    const job = new DeliveryJob(delivery, lane);
    if (this.#draining) {
      this.#settleAside(job, { kind: 'release' });
      return;
    }
    this.#jobs.add(job);
    this.#lanes.add(job);
  }

  revoked(sources: readonly string[]): Promise<void> {
    const lost = new Set(sources);
    return this.#empty((job) => lost.has(job.delivery.source), this.options.rebalanceDrain, false);
  }

  /** Takes nothing new, releases what waits, and waits (at most `milliseconds`) for listeners that are executing. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true;
    await this.#empty(() => true, milliseconds, true);
    this.#watch.stop();
  }

  #turn(job: DeliveryJob): void {
    if (job.state === 'gone') return this.#lanes.finish(job, true);
    job.state = 'executing';
    const { delivery } = job;
    const read = (job.read ??= this.#reader.identify(delivery));
    if (read.kind === 'failed') return this.#reject(job, read.failure, 0);
    if (read.kind === 'unwanted') {
      this.skipped++;
      return this.#accept(job);
    }
    const { message, listener, event } = read;
    const due = Math.max(message.notBefore ?? 0, delivery.notBefore ?? 0);
    if (due > 0 && due > this.options.clock.now()) return this.#wait(job, listener, due);
    if (message.expiresAt !== undefined && message.expiresAt <= this.options.clock.now()) {
      const text = `"${message.name}" expired at ${new Date(message.expiresAt).toISOString()}: send it with a longer expiresIn, or add consumers.`;
      return this.#reject(job, Failure.of('expired', 'EVT_EXPIRED', text), job.attempt - 1);
    }
    if (job.attempt > listener.retry.attempts) {
      const text = `The process died at each of ${listener.retry.attempts} attempts of ${listener.label}: see what it does with "${message.name}".`;
      return this.#reject(job, Failure.of('crashed', 'EVT_CRASH_LOOP', text), job.attempt - 1);
    }
    const body = this.#reader.body(message, event);
    if (body instanceof Promise) void body.then((value) => this.#run(job, listener, value));
    else this.#run(job, listener, body);
  }

  #run(job: DeliveryJob, listener: ListenerDescriptor, body: object): void {
    if (job.state === 'gone') return this.#done(job, true);
    if (body instanceof Failure) return this.#reject(job, body, 0);
    if (job.read?.kind !== 'wanted') return;
    if (listener.guarantee === 'at-most-once') void job.delivery.settle({ kind: 'accept' });
    const run = ++job.run;
    job.timedOut = false;
    const outcome = this.options.attempts.run(job, job.read.message, body, listener);
    if (outcome === undefined) return this.#accept(job);
    if (outcome instanceof Failure) return this.#failed(job, listener, outcome);
    job.deadline = this.options.clock.now() + listener.timeout;
    this.#watch.add(job);
    outcome.then(
      () => {
        if (job.run !== run) return;
        this.#watch.remove(job);
        this.#accept(job);
      },
      (error: unknown) => {
        if (job.run !== run) return;
        this.#watch.remove(job);
        const failure = job.timedOut ? Failure.timedOut(listener.label, listener.timeout, error) : Failure.thrown(error);
        this.#failed(job, listener, failure);
      },
    );
  }

  /** The first time, the listener is told to stop and keeps its lane; the second time it is given up. */
  #late(job: DeliveryJob): void {
    if (job.read?.kind !== 'wanted') return;
    const { listener } = job.read;
    const failure = Failure.timedOut(listener.label, listener.timeout);
    if (!job.timedOut) {
      job.timedOut = true;
      job.abort?.abort(failure.error);
      job.deadline += listener.timeoutGrace;
      this.#watch.add(job);
      return;
    }
    job.run++;
    this.#failed(job, listener, failure);
  }

  #accept(job: DeliveryJob): void {
    if (job.state !== 'gone') void job.delivery.settle({ kind: 'accept' });
    this.#done(job, true);
  }

  #failed(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure): void {
    if (job.state === 'gone') return this.#done(job, true);
    if (listener.guarantee === 'at-most-once') return this.#mourn(job, listener, failure);
    const now = this.options.clock.now();
    job.firstFailedAt ??= now;
    const delay = failure.final ? undefined : listener.retry.delayAfter(job.attempt);
    if (delay === undefined) return this.#reject(job, failure, job.attempt);
    this.#say('warn', job, `${listener.label} failed at attempt ${job.attempt} of ${listener.retry.attempts}, again in ${delay} ms`, failure.error);
    job.attempt++;
    if (this.#movable(job, listener, delay))
      return this.#settle(job, { kind: 'defer', notBefore: now + delay, attempt: job.attempt });
    if (now + delay - job.firstFailedAt > LONGEST_HOLD) return this.#reject(job, failure, job.attempt - 1);
    if (this.#draining) {
      this.#settleAside(job, { kind: 'release' });
      return this.#done(job, true);
    }
    this.#hold(job, now + delay);
  }

  /** Not due yet: the provider keeps it where it can and may, else it holds its lane. */
  #wait(job: DeliveryJob, listener: ListenerDescriptor, due: number): void {
    const wait = due - this.options.clock.now();
    const fresh = job.delivery.notBefore === undefined;
    if (fresh && wait > WORTH_DEFERRING && this.#movable(job, listener, wait))
      return this.#settle(job, { kind: 'defer', notBefore: due, attempt: job.attempt });
    this.#hold(job, due);
  }

  #hold(job: DeliveryJob, until: number): void {
    job.state = 'waiting';
    job.timer = this.options.clock.setTimeout(
      () => {
        job.timer = undefined;
        job.state = 'queued';
        this.#lanes.again(job);
      },
      Math.max(0, until - this.options.clock.now()),
    );
    this.#lanes.yield();
  }

  #movable(job: DeliveryJob, listener: ListenerDescriptor, delay: number): boolean {
    const wished = listener.retry.move ?? job.delivery.key === undefined;
    return wished && !listener.perProcess && this.options.provider.abilities.longestDefer >= delay;
  }

  #reject(job: DeliveryJob, failure: Failure, attempts: number): void {
    this.#say('error', job, `Dead letter (${failure.reason}) of ${this.options.name}`, failure.error);
    this.#settle(job, { kind: 'reject', letter: this.#letter(job, failure, attempts) });
  }

  #letter(job: DeliveryJob, failure: Failure, attempts: number): ReturnType<typeof deadLetterOf> {
    const { service, name, clock } = this.options;
    const message = job.read === undefined ? undefined : job.read.message;
    const now = clock.now();
    const { delivery, firstFailedAt = now } = job;
    return deadLetterOf({ service, listener: name, delivery, message, failure, attempts, firstFailedAt, now });
  }

  /** At most once: the message is settled already, so its letter is written on the side. */
  #mourn(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure): void {
    this.#say('error', job, `${listener.label} failed, and is not called again (at-most-once)`, failure.error);
    this.options.provider.deadLetters.append(this.#letter(job, failure, job.attempt)).catch((error: unknown) => {
      this.#say('error', job, 'Its dead letter was lost', error);
    });
    this.#done(job, true);
  }

  /** Moves the message to its new place, again and again until it is safe there. Its lane waits, its place is given up. */
  #settle(job: DeliveryJob, settlement: Settlement): void {
    job.state = 'settling';
    this.#lanes.yield();
    const go = (): void => {
      if (job.state === 'gone') return this.#done(job, false);
      let settled: Promise<void> | void;
      try {
        settled = job.delivery.settle(settlement);
      } catch (error) {
        settled = Promise.reject(error instanceof Error ? error : new Error(String(error)));
      }
      if (settled === undefined) return this.#done(job, false);
      settled.then(
        () => this.#done(job, false),
        (error: unknown) => {
          this.#say('error', job, `It could not be settled (${settlement.kind})`, error);
          // Unsettled messages come back; there is no time left to try again.
          if (this.#draining) return this.#done(job, false);
          job.timer = this.options.clock.setTimeout(go, SETTLE_AGAIN);
        },
      );
    };
    go();
  }

  #settleAside(job: DeliveryJob, settlement: Settlement): void {
    const failed = (error: unknown): void => this.#say('warn', job, `It could not be settled (${settlement.kind}); it comes back`, error);
    try {
      job.delivery.settle(settlement)?.catch(failed);
    } catch (error) {
      failed(error);
    }
  }

  #done(job: DeliveryJob, executing: boolean): void {
    job.state = 'gone';
    this.#jobs.delete(job);
    this.#lanes.finish(job, executing);
    if (this.#waiters.size > 0) for (const look of [...this.#waiters]) look();
  }

  /** Drops what only waits among the chosen jobs, and waits for those at work, at most `milliseconds`; then aborts them. */
  #empty(chosen: (job: DeliveryJob) => boolean, milliseconds: number, release: boolean): Promise<void> {
    const atWork: DeliveryJob[] = [];
    for (const job of this.#jobs) {
      if (!chosen(job)) continue;
      if (job.state === 'executing' || (job.state === 'settling' && job.timer === undefined)) {
        atWork.push(job);
        continue;
      }
      const held = job.state === 'waiting' || job.state === 'settling';
      job.timer?.cancel();
      if (release) this.#settleAside(job, { kind: 'release' });
      this.#jobs.delete(job);
      job.state = 'gone';
      // One that is queued is passed over when its turn comes: taking it out of the middle of a lane is not worth it.
      if (held) this.#lanes.finish(job, false);
    }
    return new Promise((resolve) => {
      const end = (): void => {
        this.#waiters.delete(look);
        timer.cancel();
        resolve();
      };
      const look = (): void => {
        if (!atWork.some((job) => this.#jobs.has(job))) end();
      };
      const timer = this.options.clock.setTimeout(() => {
        const error = new EventingError('EVT_NOT_RUNNING', `${this.options.name} had ${milliseconds} ms to finish: heed envelope.signal.`);
        for (const job of atWork) {
          if (!this.#jobs.delete(job)) continue;
          // It keeps its lane until it returns or times out: its key must not run twice here, should it come back.
          job.state = 'gone';
          job.abort?.abort(error);
        }
        end();
      }, milliseconds);
      this.#waiters.add(look);
      look();
    });
  }

  #say(level: 'warn' | 'error', job: DeliveryJob, text: string, error: unknown): void {
    const message = job.read?.message;
    const what = message === undefined ? '' : ` "${message.name.slice(0, 200)}" ${message.id.slice(0, 100)} (correlation ${message.correlationId.slice(0, 100)})`;
    const why = error instanceof Error ? error.message : String(error);
    this.options.logger[level](`${text}:${what} at ${job.delivery.channel} ${job.delivery.position}: ${why}`);
  }
}
