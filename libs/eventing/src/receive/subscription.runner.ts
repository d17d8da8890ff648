import type { Clock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { Delivery, EventProvider, ProviderLogger, Settlement, Subscriber } from '../provider/event-provider.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { EventingObserver } from '../runtime/eventing.observer.js';
import type { AttemptRunner } from './attempt.runner.js';
import { BatchLanes } from './batch.lanes.js';
import { BatchRunner } from './batch.runner.js';
import { DeliveryJob } from './delivery.job.js';
import { Failure } from './failure.js';
import { Lanes, Places, type Turns } from './lanes.js';
import { MessageReader } from './message.reader.js';
import { OpenJobs } from './open.jobs.js';
import { LONGEST_HOLD } from './retry.policy.js';
import { Settler } from './settler.js';
import { TimeoutWatch } from './timeout.watch.js';

/** An event not due for longer than this is given back to a provider that can keep it. Milliseconds. */
const WORTH_DEFERRING = 1000;

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
  readonly observer?: EventingObserver | undefined;
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
  readonly #manyChannels: boolean;
  #draining = false;
  /** Deliveries passed over because nobody here asked for their type. */
  skipped = 0;

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
    this.#manyChannels =
      new Set(listeners.flatMap((listener) => listener.events.map((event) => event.channel))).size > 1;
  }

  get unsettled(): number {
    return this.#open.size;
  }

  /** When the oldest of them was sent, milliseconds since 1970. */
  get oldestUnsettled(): number | undefined {
    let oldest: number | undefined;
    for (const { delivery } of this.#open) oldest = Math.min(oldest ?? Infinity, delivery.time);
    return oldest;
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
    await this.#empty((job) => lost.has(job.delivery.source), 'dropped', this.options.rebalanceDrain);
  }

  /** Takes nothing new, releases what waits, and waits (at most `milliseconds`) for listeners that are executing. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true;
    await this.#empty(() => true, 'released', milliseconds);
    this.#watch.stop();
    this.#batches?.stop();
  }

  #turn(job: DeliveryJob): void {
    if (job.state === 'gone') return this.#done(job, true);
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
    if (message.expiresAt !== undefined && message.expiresAt <= this.options.clock.now())
      return this.#reject(job, Failure.expired(message.name, message.expiresAt), job.attempt - 1);
    if (job.attempt > listener.retry.attempts)
      return this.#reject(job, Failure.crashed(listener.label, message.name, listener.retry.attempts), job.attempt - 1);
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
    const run = ++job.run;
    const outcome = this.options.attempts.run(job, job.read.message, body, listener);
    if (outcome === undefined) return this.#accept(job);
    if (outcome instanceof Failure) return this.#failed(job, listener, outcome);
    this.#expect(job, listener);
    outcome.then(
      () => {
        if (job.run === run) this.#accept(job);
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

  #failed(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure): void {
    job.deadline = 0;
    if (listener.guarantee === 'at-most-once') {
      this.#settler.say('error', job, `${listener.label} failed and is not called again (at-most-once)`, failure.error);
      this.#settler.mourn(job, failure);
      return this.#done(job, true);
    }
    if (job.state === 'gone') return this.#done(job, true);
    const now = this.options.clock.now();
    job.firstFailedAt ??= now;
    const usual = failure.final ? undefined : listener.retry.delayAfter(job.attempt);
    const delay = usual === undefined ? undefined : (failure.after ?? usual);
    if (delay === undefined) return this.#reject(job, failure, job.attempt);
    const movable = this.#movable(job, listener, delay);
    if (!movable && now + delay - job.firstFailedAt > LONGEST_HOLD) return this.#reject(job, failure, job.attempt);
    const text = `${listener.label} failed at attempt ${job.attempt} of ${listener.retry.attempts}, again in ${delay} ms`;
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

  /** Lets the chosen jobs go: what waits, at once; those at work have `milliseconds` to finish, then they are aborted. */
  async #empty(
    chosen: (job: DeliveryJob) => boolean,
    leaving: NonNullable<DeliveryJob['leaving']>,
    milliseconds: number,
  ): Promise<void> {
    const atWork: DeliveryJob[] = [];
    const holding: DeliveryJob[] = [];
    // All are marked before any lane goes on: the next of a key must not run before the one that was let go.
    for (const job of [...this.#open].filter(chosen)) {
      job.leaving = leaving;
      if (isAtWork(job)) {
        atWork.push(job);
        continue;
      }
      if (leaving === 'released') this.#settler.release(job);
      job.timer?.cancel();
      // One that is queued keeps its place in its lane, and is passed over when its turn comes.
      if (job.state !== 'queued') holding.push(job);
      job.state = 'gone';
      this.#open.remove(job);
    }
    for (const job of holding) this.#done(job, false);
    const late = await this.#open.closed(atWork, milliseconds);
    const text = `${this.options.name} had ${milliseconds} ms to finish and did not: heed envelope.signal.`;
    for (const job of late) {
      // It keeps its lane until it returns or times out: should its key come back, it must not run twice here.
      job.state = 'gone';
      job.abort?.abort(new EventingError('EVT_NOT_RUNNING', text));
    }
  }
}

/** Also one that was given up and has not returned: it still uses what is about to be closed. */
function isAtWork({ state, timer }: DeliveryJob): boolean {
  return state === 'executing' || state === 'gone' || (state === 'settling' && timer === undefined);
}
