import type { Delivery, OutgoingMessage, Settlement, Subscriber } from '../provider/event-provider.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { AttemptRunner } from './attempt.runner.js';
import { BatchLanes } from './batch.lanes.js';
import { BatchRunner } from './batch.runner.js';
import { DeliveryJob } from './delivery.job.js';
import { Departure } from './departure.js';
import type { ExactlyOnce } from './exactly-once.js';
import { Failure } from './failure.js';
import { Lanes, Places, type Turns } from './lanes.js';
import { ListenerStop } from './listener.stop.js';
import { MessageReader } from './message.reader.js';
import { OpenJobs } from './open.jobs.js';
import { LONGEST_HOLD } from './retry.policy.js';
import { Settler, type SettlerOptions } from './settler.js';
import { TimeoutWatch } from './timeout.watch.js';

/** An event not due for longer than this is given back to a provider that can keep it. Milliseconds. */
const WORTH_DEFERRING = 1000;

export interface RunnerOptions extends SettlerOptions {
  /** One, or several that share a group. */
  readonly listeners: readonly ListenerDescriptor[];
  readonly registry: EventRegistry;
  readonly attempts: AttemptRunner;
  /** Where its listeners handle exactly once. */
  readonly once?: ExactlyOnce | undefined;
  readonly maxBodyBytes: number;
  readonly rebalanceDrain: number;
  /** The past does not expire. @default false */
  readonly isReplay?: boolean;
}

/**
 * The kernel's half of a subscription: takes deliveries, gives each its turn in its lane, runs the listener, and decides what
 * becomes of the message. The retry rule of `docs/retries-and-dead-letters.md` lives here.
 */
export class SubscriptionRunner implements Subscriber {
  readonly #open: OpenJobs;
  readonly #lanes: Turns<DeliveryJob>;
  /** Where the listener takes batches: the lanes again. */
  readonly #batches: BatchLanes<DeliveryJob> | undefined;
  /** Runs a batch, all of whose events are read; or one event of a batch listener, alone. */
  readonly #together: ((jobs: readonly DeliveryJob[]) => void) | undefined;
  readonly #watch: TimeoutWatch<DeliveryJob>;
  readonly #reader: MessageReader;
  readonly #settler: Settler;
  readonly #departure: Departure;
  readonly #manyChannels: boolean;
  #draining = false;
  /** Deliveries passed over because nobody here asked for their type. */
  skipped = 0;
  /** Events whose attempts are exhausted, under `exhausted: 'discard'`. */
  discarded = 0;
  /** Under `exhausted: 'stop'`. */
  readonly stop: ListenerStop;

  constructor(private readonly options: RunnerOptions) {
    const { listeners, clock } = options;
    this.#open = new OpenJobs(clock);
    const concurrency = Math.max(...listeners.map((listener) => listener.concurrency));
    const turn = (job: DeliveryJob): void => this.#turn(job);
    const [first] = listeners;
    if (first?.batch !== undefined) {
      const runner = new BatchRunner(options.attempts, first, {
        begins: (job) => this.#begins(job, first),
        succeeded: (job) => this.#accept(job),
        failed: (job, error) => this.#failed(job, first, this.#failureOf(job, first, error)),
        alone: (job) => this.#alone(job),
        warn: (job, text, error) => this.#settler.say('warn', job, text, error),
      });
      this.#together = (jobs) => runner.run(jobs);
      this.#batches = new BatchLanes({ ...first.batch, concurrency, clock, turn, run: this.#together });
    }
    this.#lanes = this.#batches ?? new Lanes(new Places(concurrency), turn);
    this.#watch = new TimeoutWatch(clock, this.#open, (job) => this.#late(job));
    this.#reader = new MessageReader(options.registry, listeners, options.provider.binding, options.maxBodyBytes);
    this.#settler = new Settler(options);
    this.#departure = new Departure(this.#open, this.#settler, options.name, (job) => this.#done(job, false));
    this.stop = new ListenerStop(this.#settler, clock);
    this.#manyChannels =
      new Set(listeners.flatMap((listener) => listener.events.map((event) => event.channel))).size > 1;
  }

  get unsettled(): number {
    return this.#open.size;
  }

  /** When the oldest of them was sent, milliseconds since 1970. */
  get oldestUnsettled(): number | undefined {
    return this.#open.oldest;
  }

  deliver(delivery: Delivery): void {
    const { key } = delivery;
    const job = new DeliveryJob(
      delivery,
      key === undefined || !this.#manyChannels ? key : `${delivery.channel}\n${key}`,
    );
    if (this.#draining) return this.#settler.release(job);
    this.#open.add(job);
    this.#lanes.add(job);
  }

  async revoked(sources: readonly string[]): Promise<void> {
    const lost = new Set(sources);
    await this.#departure.of((job) => lost.has(job.delivery.source), 'dropped', this.options.rebalanceDrain);
  }

  /** What was held since it stopped is handled again, its attempts counted anew. */
  resume(): void {
    this.stop.resume((job) => {
      job.state = 'queued';
      this.#lanes.again(job);
    });
  }

  /** Takes nothing new, releases what waits, and waits (at most `milliseconds`) for listeners that are executing. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true;
    await this.#departure.of(() => true, 'released', milliseconds);
    this.#watch.stop();
    this.#batches?.stop();
  }

  #turn(job: DeliveryJob): void {
    if (job.state === 'gone') return this.#done(job, true);
    if (this.stop.at !== undefined) return this.#park(job);
    job.state = 'executing';
    const { delivery } = job;
    const read = (job.read ??= this.#reader.identify(delivery));
    if (read.kind === 'failed') return this.#reject(job, read.failure, 0);
    if (read.kind === 'unwanted') {
      this.skipped++;
      return this.#accept(job);
    }
    const { message, listener, event } = read;
    const due = Math.max(message.notBefore ?? 0, delivery.notBefore ?? 0, job.heldUntil);
    if (due > 0 && due > this.options.clock.now()) return this.#wait(job, listener, due);
    const expiresAt = this.options.isReplay === true ? undefined : message.expiresAt;
    if (expiresAt !== undefined && expiresAt <= this.options.clock.now())
      return this.#reject(job, Failure.expired(message.name, expiresAt), job.attempt - 1);
    const { mostAttempts } = listener.retry;
    if (job.attempt > mostAttempts)
      return this.#end(job, listener, Failure.crashed(listener.label, message.name, mostAttempts), job.attempt - 1);
    const body = this.#reader.body(message, event);
    if (body instanceof Promise) void body.then((value) => this.#run(job, listener, value));
    else this.#run(job, listener, body);
  }

  #run(job: DeliveryJob, listener: ListenerDescriptor, body: object): void {
    if (job.state === 'gone' || job.read?.kind !== 'wanted') return this.#done(job, true);
    if (body instanceof Failure) return this.#reject(job, body, 0);
    if (job.leaving !== undefined) return this.#leave(job);
    if (listener.batch !== undefined) {
      job.body = body;
      if (job.batch === undefined) this.#together?.([job]);
      else job.batch.join(job);
      return;
    }
    if (listener.guarantee === 'at-most-once') this.#settler.accept(job);
    job.run++;
    const { attempts, once } = this.options;
    if (once !== undefined)
      return this.#watchRun(job, listener, once.run(job, job.read.message, body, listener), (outputs) =>
        this.#acceptWith(job, outputs),
      );
    const outcome = attempts.run(job, job.read.message, body, listener);
    if (outcome === undefined) return this.#accept(job);
    if (outcome instanceof Failure) return this.#failed(job, listener, outcome);
    this.#watchRun(job, listener, outcome, () => this.#accept(job));
  }

  #watchRun<T>(job: DeliveryJob, listener: ListenerDescriptor, outcome: Promise<T>, done: (value: T) => void): void {
    const { run } = job;
    this.#expect(job, listener);
    outcome.then(
      (value) => {
        if (job.run === run) done(value);
      },
      (error: unknown) => {
        if (job.run !== run) return;
        this.#failed(job, listener, this.#failureOf(job, listener, error));
      },
    );
  }

  /** A batch whose listener failed without saying at which event: each of its events has a turn of its own. */
  #alone(job: DeliveryJob): void {
    job.deadline = 0;
    if (job.state === 'gone') return this.#done(job, true);
    if (job.leaving !== undefined) return this.#leave(job);
    job.state = 'queued';
    this.#batches?.alone(job);
  }

  /** The run of a batch begins, of which this is one. */
  #begins(job: DeliveryJob, listener: ListenerDescriptor): void {
    if (listener.guarantee === 'at-most-once') this.#settler.accept(job);
    this.#expect(job, listener);
    job.run++;
  }

  #failureOf(job: DeliveryJob, { label, timeout }: ListenerDescriptor, error: unknown): Failure {
    return job.timedOut ? Failure.timedOut(label, timeout, error) : Failure.thrown(error);
  }

  #expect(job: DeliveryJob, listener: ListenerDescriptor): void {
    job.timedOut = false;
    job.deadline = this.options.clock.now() + listener.timeout;
    this.#watch.expect(job.deadline);
  }

  /** The first time, the listener is told to stop and keeps its lane; the second time it is given up. */
  #late(job: DeliveryJob): void {
    if (job.read?.kind !== 'wanted') return;
    const { listener } = job.read;
    const failure = Failure.timedOut(listener.label, listener.timeout);
    if (job.timedOut) {
      job.run++;
      return this.#failed(job, listener, failure);
    }
    job.timedOut = true;
    job.deadline += listener.timeoutGrace;
    job.abort?.abort(failure.error);
  }

  #accept(job: DeliveryJob): void {
    if (job.state !== 'gone') this.#settler.accept(job);
    this.#done(job, true);
  }

  /** Its outputs go with it, and its lane waits until they have their place. */
  #acceptWith(job: DeliveryJob, outputs: readonly OutgoingMessage[]): void {
    if (outputs.length === 0 || job.state === 'gone') return this.#accept(job);
    job.deadline = 0;
    this.#move(job, { kind: 'accept', outputs });
  }

  #failed(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure): void {
    job.deadline = 0;
    if (listener.guarantee === 'at-most-once') {
      this.#settler.say('error', job, `${listener.label} failed and is not called again (at-most-once)`, failure.error);
      if (failure.exhausts && listener.retry.exhausted === 'discard') this.discarded++;
      else this.#settler.mourn(job, failure);
      return this.#done(job, true);
    }
    if (job.state === 'gone') return this.#done(job, true);
    const now = this.options.clock.now();
    const since = (job.firstFailedAt ??= now);
    const { label, retry } = listener;
    const delay = retry.pauseAfter(failure, job.attempt);
    const movable = delay !== undefined && this.#movable(job, listener, delay);
    if (delay === undefined || (!movable && now + delay - since > LONGEST_HOLD))
      return this.#end(job, listener, failure, job.attempt);
    const text = `${label} failed at attempt ${job.attempt} of ${retry.attemptsAt(failure.error)}, again in ${delay} ms`;
    this.#settler.say('warn', job, text, failure.error);
    job.attempt++;
    if (movable) return this.#move(job, { kind: 'defer', notBefore: now + delay, attempt: job.attempt });
    if (job.leaving !== undefined) return this.#leave(job);
    this.#hold(job, now + delay);
  }

  /** Not due yet: the provider keeps it where it can and may, else it holds its lane. */
  #wait(job: DeliveryJob, listener: ListenerDescriptor, due: number): void {
    const wait = due - this.options.clock.now();
    const fresh = job.delivery.notBefore === undefined;
    if (fresh && wait > WORTH_DEFERRING && this.#movable(job, listener, wait))
      return this.#move(job, { kind: 'defer', notBefore: due, attempt: job.attempt });
    this.#hold(job, due);
  }

  #hold(job: DeliveryJob, until: number): void {
    const { clock } = this.options;
    job.heldUntil = until;
    job.state = 'waiting';
    if (!this.#lanes.hold(job)) {
      job.state = 'queued';
      return;
    }
    const again = (): void => {
      job.timer = undefined;
      job.state = 'queued';
      this.#lanes.again(job);
    };
    job.timer = clock.setTimeout(again, Math.max(0, until - clock.now()), true);
  }

  #movable(job: DeliveryJob, listener: ListenerDescriptor, delay: number): boolean {
    const wished = listener.retry.move ?? job.delivery.key === undefined;
    return wished && !listener.perProcess && this.options.provider.abilities.longestDefer >= delay;
  }

  /** It has no attempt left. */
  #end(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure, attempts: number): void {
    const { exhausted } = listener.retry;
    if (exhausted === 'dead-letter' || !failure.exhausts) return this.#reject(job, failure, attempts);
    if (exhausted === 'discard') {
      this.discarded++;
      const text = `${listener.label} failed at attempt ${attempts}, and the event is discarded`;
      this.#settler.say('error', job, text, failure.error);
      return this.#accept(job);
    }
    if (job.leaving !== undefined) return this.#leave(job);
    this.stop.stop(job, listener, failure);
    this.#park(job);
  }

  /** Waits, in its lane, until the listener is resumed. */
  #park(job: DeliveryJob): void {
    job.state = 'waiting';
    if (this.#lanes.hold(job)) this.stop.park(job);
    else job.state = 'queued';
  }

  #reject(job: DeliveryJob, failure: Failure, attempts: number): void {
    this.#settler.say('error', job, `Dead letter (${failure.reason}) of ${this.options.name}`, failure.error);
    this.#move(job, { kind: 'reject', letter: this.#settler.letter(job, failure, attempts) });
  }

  /** Its lane waits until it is safe in its new place; its room to execute is free at once. */
  #move(job: DeliveryJob, settlement: Settlement): void {
    job.state = 'settling';
    this.#lanes.yield(job);
    this.#settler.move(job, settlement, () => this.#done(job, false));
  }

  /** It executed while its source, or this process, was on the way out, and is to come back elsewhere. */
  #leave(job: DeliveryJob): void {
    if (job.leaving === 'released') this.#settler.release(job);
    this.#done(job, true);
  }

  #done(job: DeliveryJob, executing: boolean): void {
    job.state = 'gone';
    job.deadline = 0;
    this.#open.remove(job);
    this.#lanes.finish(job, executing);
  }
}
