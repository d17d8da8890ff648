import type { Delivery, Subscriber } from '../provider/event-provider.js';
import type { EventRegistry } from '../registry/event.registry.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { AttemptRunner } from './attempt.runner.js';
import { BatchLanes } from './batch.lanes.js';
import { BatchRunner } from './batch.runner.js';
import { DeliveryFate } from './delivery.fate.js';
import { DeliveryJob } from './delivery.job.js';
import { Departure } from './departure.js';
import type { ExactlyOnce } from './exactly-once.js';
import type { ExactlyOnceBatch } from './exactly-once.batch.js';
import { Failure } from './failure.js';
import { Lanes, Places, type Turns } from './lanes.js';
import { ListenerStop } from './listener.stop.js';
import { MessageReader } from './message.reader.js';
import { OpenJobs } from './open.jobs.js';
import { OutputAllowance } from './output.allowance.js';
import { SequenceKeeper } from './sequence.keeper.js';
import { Settler, type SettlerOptions } from './settler.js';
import { TimeoutWatch } from './timeout.watch.js';

/** Pause between questions to the store of dead letters while it does not answer. Milliseconds. */
const ASK_AGAIN = 1000;

export interface RunnerOptions extends SettlerOptions {
  /** One, or several that share a group. */
  readonly listeners: readonly ListenerDescriptor[];
  readonly registry: EventRegistry;
  readonly attempts: AttemptRunner;
  /** Where its listeners handle exactly once. */
  readonly once?: ExactlyOnce | undefined;
  /** Where a batch listener does. */
  readonly batchAttempts?: ExactlyOnceBatch | undefined;
  readonly maxBodyBytes: number;
  readonly rebalanceDrain: number;
  /** The past does not expire. @default false */
  readonly isReplay?: boolean;
  /** What listeners send goes with the accept, and gathers in the provider behind an event that is not settled. @default false */
  readonly gathersOutputs?: boolean;
}

/**
 * The kernel's half of a subscription: takes deliveries, gives each its turn in its lane, reads it and runs the listener. What becomes
 * of it then is its `DeliveryFate`.
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
  readonly #fate: DeliveryFate;
  readonly #departure: Departure;
  /** Where the provider can keep dead letters in the order of their keys. */
  readonly #sequences: SequenceKeeper | undefined;
  readonly #allowance: OutputAllowance | undefined;
  readonly #manyChannels: boolean;
  #draining = false;
  /** Deliveries passed over because nobody here asked for their type. */
  skipped = 0;
  /** Under `exhausted: 'stop'`. */
  readonly stop: ListenerStop;

  constructor(private readonly options: RunnerOptions) {
    const { listeners, clock } = options;
    this.#open = new OpenJobs(clock);
    const concurrency = Math.max(...listeners.map((listener) => listener.concurrency));
    const turn = (job: DeliveryJob): void => this.#turn(job);
    const [first] = listeners;
    if (first?.batch !== undefined) {
      const runner = new BatchRunner(options.batchAttempts ?? options.attempts, first, {
        begins: (job) => this.#begins(job, first),
        succeeded: (job, handled) =>
          handled === undefined ? this.#fate.accept(job) : this.#fate.acceptHandled(job, handled.by, handled.what),
        failed: (job, error) => this.#fate.failed(job, first, this.#failureOf(job, first, error)),
        alone: (job) => this.#alone(job),
        warn: (job, text, error) => this.#settler.say('warn', job, text, error),
      });
      this.#together = (jobs) => runner.run(jobs);
      this.#batches = new BatchLanes({ ...first.batch, concurrency, clock, turn, run: this.#together });
    }
    this.#lanes = this.#batches ?? new Lanes(new Places(concurrency), turn);
    this.#watch = new TimeoutWatch(clock, this.#open, (job) => this.#late(job));
    this.#reader = new MessageReader(options.registry, listeners, options.provider.binding, options.maxBodyBytes);
    const { name, provider, isReplay = false } = options;
    const sequenced = first?.deadLetters === 'sequenced' && !isReplay;
    this.#settler = new Settler({ ...options, sequenced });
    this.stop = new ListenerStop(this.#settler, clock);
    const { sequences } = provider.deadLetters;
    const settler = this.#settler;
    this.#sequences =
      sequences === undefined || isReplay
        ? undefined
        : new SequenceKeeper({ name, provider, sequences, sequenced, settler });
    if (options.gathersOutputs === true) this.#allowance = new OutputAllowance((job) => this.#again(job));
    this.#fate = new DeliveryFate({
      ...{ name, provider, clock, settler, open: this.#open, lanes: this.#lanes, stop: this.stop },
      sequences: this.#sequences,
      allowance: this.#allowance,
    });
    this.#departure = new Departure(this.#open, this.#settler, name, (job) => this.#fate.done(job, false));
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

  /** Events whose attempts are exhausted, under `exhausted: 'discard'`. */
  get discarded(): number {
    return this.#fate.discarded;
  }

  deliver(delivery: Delivery): void {
    const { key } = delivery;
    const lane = key === undefined || !this.#manyChannels ? key : `${delivery.channel}\n${key}`;
    const job = this.#sequences?.jobOf(delivery, lane) ?? new DeliveryJob(delivery, lane);
    if (this.#draining) return this.#settler.release(job);
    this.#open.add(job);
    this.#allowance?.arrived(job);
    this.#lanes.add(job);
  }

  async revoked(sources: readonly string[]): Promise<void> {
    const lost = new Set(sources);
    await this.#departure.of((job) => lost.has(job.delivery.source), 'dropped', this.options.rebalanceDrain);
  }

  /** What was held since it stopped is handled again, its attempts counted anew. */
  resume(): void {
    this.stop.resume((job) => this.#again(job));
  }

  #again(job: DeliveryJob): void {
    job.state = 'queued';
    this.#lanes.again(job);
  }

  /** Takes nothing new, releases what waits, and waits (at most `milliseconds`) for listeners that are executing. */
  async drain(milliseconds: number): Promise<void> {
    this.#draining = true;
    await this.#departure.of(() => true, 'released', milliseconds);
    this.#watch.stop();
    this.#batches?.stop();
  }

  #turn(job: DeliveryJob): void {
    if (job.state === 'gone') return this.#fate.done(job, true);
    if (this.stop.at !== undefined) return this.#fate.park(job);
    if (this.#allowance?.mayRun(job) === false) return this.#fate.keepBack(job, this.#allowance);
    job.state = 'executing';
    const { delivery } = job;
    const read = (job.read ??= this.#reader.identify(delivery));
    if (read.kind === 'unwanted') {
      this.skipped++;
      return this.#fate.accept(job);
    }
    if (this.#sequences?.concerns(job) === true) return this.#ask(job, this.#sequences);
    if (read.kind === 'failed') return this.#fate.reject(job, read.failure, 0);
    const { message, listener, event } = read;
    const due = Math.max(message.notBefore ?? 0, delivery.notBefore ?? 0, job.heldUntil);
    if (due > 0 && due > this.options.clock.now()) return this.#fate.wait(job, listener, due);
    const expiresAt = this.options.isReplay === true ? undefined : message.expiresAt;
    if (expiresAt !== undefined && expiresAt <= this.options.clock.now())
      return this.#unlessHandled(job, message, listener, () =>
        this.#fate.reject(job, Failure.expired(message.name, expiresAt), job.attempt - 1),
      );
    const { mostAttempts } = listener.retry;
    if (job.attempt > mostAttempts) {
      const failure = Failure.crashed(listener.label, message.name, mostAttempts);
      return this.#unlessHandled(job, message, listener, () => this.#fate.end(job, listener, failure, job.attempt - 1));
    }
    const body = this.#reader.body(message, event);
    if (body instanceof Promise) void body.then((value) => this.#run(job, listener, value));
    else this.#run(job, listener, body);
  }

  /** It may have been handled, and its outputs not be published: only what no inbox knows is given up. */
  #unlessHandled(job: DeliveryJob, message: DecodedMessage, listener: ListenerDescriptor, giveUp: () => void): void {
    const once = this.options.once ?? this.options.batchAttempts?.once;
    if (once?.remembers !== true) return giveUp();
    job.run++;
    this.#watchRun(job, listener, once.known(job, message, listener), (handled) => {
      if (handled !== undefined) return this.#fate.acceptHandled(job, once, handled);
      if (job.state === 'gone') return this.#fate.done(job, true);
      giveUp();
    });
  }

  /** Whether it is to be handled, or waits behind a dead letter of its key: the turn goes on with the answer. */
  #ask(job: DeliveryJob, sequences: SequenceKeeper): void {
    const fate = this.#fate;
    sequences.admits(job).then(
      (admitted) => {
        if (!admitted) return fate.over(job);
        if (job.state === 'gone') return fate.done(job, true);
        if (job.leaving !== undefined) return fate.leave(job);
        job.admitted = true;
        this.#turn(job);
      },
      (error: unknown) => {
        this.#settler.say('error', job, 'Whether a dead letter of its key comes first is not known', error);
        if (job.state === 'gone') return fate.done(job, true);
        if (job.leaving !== undefined) return fate.leave(job);
        fate.hold(job, this.options.clock.now() + ASK_AGAIN);
      },
    );
  }

  #run(job: DeliveryJob, listener: ListenerDescriptor, body: object): void {
    if (job.state === 'gone' || job.read?.kind !== 'wanted') return this.#fate.done(job, true);
    if (body instanceof Failure)
      return this.#unlessHandled(job, job.read.message, listener, () => this.#fate.reject(job, body, 0));
    if (job.leaving !== undefined) return this.#fate.leave(job);
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
      return this.#watchRun(job, listener, once.run(job, job.read.message, body, listener), (handled) =>
        this.#fate.acceptHandled(job, once, handled),
      );
    const outcome = attempts.run(job, job.read.message, body, listener);
    if (outcome === undefined) return this.#fate.accept(job);
    if (outcome instanceof Failure) return this.#fate.failed(job, listener, outcome);
    this.#watchRun(job, listener, outcome, () => this.#fate.accept(job));
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
        this.#fate.failed(job, listener, this.#failureOf(job, listener, error));
      },
    );
  }

  /** A batch whose listener failed without saying at which event: each of its events has a turn of its own. */
  #alone(job: DeliveryJob): void {
    job.deadline = 0;
    if (job.state === 'gone') return this.#fate.done(job, true);
    if (job.leaving !== undefined) return this.#fate.leave(job);
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
      return this.#fate.failed(job, listener, failure);
    }
    job.timedOut = true;
    job.deadline += listener.timeoutGrace;
    job.abort?.abort(failure.error);
  }
}
