import type { Clock } from '../clock.js';
import type { EventProvider, OutgoingMessage, Settlement } from '../provider/event-provider.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DeliveryJob } from './delivery.job.js';
import type { ExactlyOnce, Handled } from './exactly-once.js';
import type { Failure } from './failure.js';
import type { Turns } from './lanes.js';
import type { ListenerStop } from './listener.stop.js';
import type { OpenJobs } from './open.jobs.js';
import type { OutputAllowance } from './output.allowance.js';
import { LONGEST_HOLD } from './retry.policy.js';
import type { SequenceKeeper } from './sequence.keeper.js';
import type { Settler } from './settler.js';

/** An event not due for longer than this is given back to a provider that can keep it. Milliseconds. */
const WORTH_DEFERRING = 1000;

const ACCEPT: Settlement = { kind: 'accept' };

export interface DeliveryFateOptions {
  /** The subscription's name. */
  readonly name: string;
  readonly provider: EventProvider;
  readonly clock: Clock;
  readonly open: OpenJobs;
  readonly lanes: Turns<DeliveryJob>;
  readonly settler: Settler;
  readonly stop: ListenerStop;
  readonly sequences: SequenceKeeper | undefined;
  /** Where outputs go with the accept. */
  readonly allowance: OutputAllowance | undefined;
}

/**
 * What becomes of a delivery that had its turn: the retry rule of `docs/retries-and-dead-letters.md`. Each ends its turn, once: its lane
 * goes on, or is held.
 */
export class DeliveryFate {
  /** Events whose attempts are exhausted, under `exhausted: 'discard'`. */
  discarded = 0;

  constructor(private readonly options: DeliveryFateOptions) {}

  /** It was handled, or is not to be. */
  accept(job: DeliveryJob): void {
    if (job.state === 'gone') return this.done(job, true);
    if (job.release === undefined) return this.over(job);
    this.#settling(job);
    this.#conclude(job, ACCEPT);
  }

  /** There is nothing more to do for it. */
  over(job: DeliveryJob): void {
    if (job.state !== 'gone') this.options.settler.accept(job);
    this.done(job, true);
  }

  /**
   * Its outputs go with it, or are published before. Its lane waits until they have their place, and its room to execute is free: the
   * listener is done and on record, so that no time-out and no failure of a broker makes an attempt of this.
   */
  acceptHandled(job: DeliveryJob, once: Pick<ExactlyOnce, 'publish'>, { outputs, before }: Handled): void {
    if (job.state === 'gone' || outputs.length + before.size === 0) return this.accept(job);
    this.options.allowance?.sends(job, outputs);
    this.#settling(job);
    const conclude = (): void => this.#conclude(job, acceptWith(outputs));
    if (before.size === 0) return conclude();
    once.publish(job, before).then(conclude, () => this.done(job, false));
  }

  failed(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure): void {
    const { settler, clock } = this.options;
    job.deadline = 0;
    if (listener.guarantee === 'at-most-once') {
      settler.say('error', job, `${listener.label} failed and is not called again (at-most-once)`, failure.error);
      // Of a time when the listener was sequenced: its letter is there, and others wait behind it.
      if (job.release !== undefined && job.state !== 'gone') return this.reject(job, failure, job.attempt);
      if (failure.exhausts && listener.retry.exhausted === 'discard') this.discarded++;
      else settler.mourn(job, failure);
      return this.done(job, true);
    }
    if (job.state === 'gone') return this.done(job, true);
    const now = clock.now();
    const since = (job.firstFailedAt ??= now);
    const { label, retry } = listener;
    const delay = retry.pauseAfter(failure, job.attempt);
    const movable = delay !== undefined && this.#movable(job, listener, delay);
    if (delay === undefined || (!movable && now + delay - since > LONGEST_HOLD))
      return this.end(job, listener, failure, job.attempt);
    const text = `${label} failed at attempt ${job.attempt} of ${retry.attemptsAt(failure.error)}, again in ${delay} ms`;
    settler.say('warn', job, text, failure.error);
    job.attempt++;
    if (movable) return this.#move(job, { kind: 'defer', notBefore: now + delay, attempt: job.attempt });
    if (job.leaving !== undefined) return this.leave(job);
    this.hold(job, now + delay);
  }

  /** Not due yet: the provider keeps it where it can and may, else it holds its lane. */
  wait(job: DeliveryJob, listener: ListenerDescriptor, due: number): void {
    const wait = due - this.options.clock.now();
    const fresh = job.delivery.notBefore === undefined;
    if (fresh && wait > WORTH_DEFERRING && this.#movable(job, listener, wait))
      return this.#move(job, { kind: 'defer', notBefore: due, attempt: job.attempt });
    this.hold(job, due);
  }

  /** It has its turn again at this time, milliseconds since 1970. */
  hold(job: DeliveryJob, until: number): void {
    const { clock, lanes } = this.options;
    job.heldUntil = until;
    job.state = 'waiting';
    if (!lanes.hold(job)) {
      job.state = 'queued';
      return;
    }
    const again = (): void => {
      job.timer = undefined;
      job.state = 'queued';
      lanes.again(job);
    };
    job.timer = clock.setTimeout(again, Math.max(0, until - clock.now()), true);
  }

  /** It has no attempt left. */
  end(job: DeliveryJob, listener: ListenerDescriptor, failure: Failure, attempts: number): void {
    const { exhausted } = listener.retry;
    if (exhausted === 'dead-letter' || !failure.exhausts) return this.reject(job, failure, attempts);
    if (exhausted === 'discard') {
      this.discarded++;
      const text = `${listener.label} failed at attempt ${attempts}, and the event is discarded`;
      this.options.settler.say('error', job, text, failure.error);
      return this.accept(job);
    }
    if (job.leaving !== undefined) return this.leave(job);
    this.options.stop.stop(job, listener, failure);
    this.park(job);
  }

  /** Waits, in its lane, until fewer outputs are kept behind an older event. */
  keepBack(job: DeliveryJob, allowance: OutputAllowance): void {
    job.state = 'waiting';
    if (this.options.lanes.hold(job)) allowance.park(job);
    else job.state = 'queued';
  }

  /** Waits, in its lane, until the listener is resumed. */
  park(job: DeliveryJob): void {
    job.state = 'waiting';
    if (this.options.lanes.hold(job)) this.options.stop.park(job);
    else job.state = 'queued';
  }

  reject(job: DeliveryJob, failure: Failure, attempts: number): void {
    const { name, settler, sequences } = this.options;
    settler.say('error', job, `Dead letter (${failure.reason}) of ${name}`, failure.error);
    const letter = settler.letter(job, failure, attempts);
    const { release } = job;
    if (release === undefined || sequences === undefined) return this.#move(job, { kind: 'reject', letter });
    this.#settling(job);
    const done = (): void => this.done(job, false);
    const settle = (): void => settler.move(job, ACCEPT, done);
    settler.insist(job, 'Its dead letter could not be stored', () => sequences.failed(letter, release), settle, done);
  }

  /** It executed while its source, or this process, was on the way out, and is to come back elsewhere. */
  leave(job: DeliveryJob): void {
    if (job.leaving === 'released') this.options.settler.release(job);
    this.done(job, true);
  }

  /** @param executing it has its room to execute still */
  done(job: DeliveryJob, executing: boolean): void {
    job.state = 'gone';
    job.deadline = 0;
    this.options.open.remove(job);
    this.options.lanes.finish(job, executing);
    this.options.allowance?.left(job);
  }

  /** A letter that was sent again leaves its row, and the next of it is sent. A crash before it is settled finds that done. */
  #conclude(job: DeliveryJob, settlement: Settlement): void {
    const { settler, sequences } = this.options;
    const { release } = job;
    const done = (): void => this.done(job, false);
    if (release === undefined || sequences === undefined) return settler.move(job, settlement, done);
    const advance = (next: () => void): void =>
      settler.insist(job, 'What waits behind it could not be sent', () => sequences.advance(job, release), next, done);
    // Once its letter is gone it is passed over, and its outputs with it.
    if (settlement === ACCEPT) advance(() => settler.move(job, settlement, done));
    else settler.move(job, settlement, () => advance(done));
  }

  #movable(job: DeliveryJob, listener: ListenerDescriptor, delay: number): boolean {
    const wished = listener.retry.move ?? job.delivery.key === undefined;
    return wished && !listener.perProcess && this.options.provider.abilities.longestDefer >= delay;
  }

  /** Its lane waits until it is safe in its new place; its room to execute is free at once. */
  #move(job: DeliveryJob, settlement: Settlement): void {
    this.#settling(job);
    this.options.settler.move(job, settlement, () => this.done(job, false));
  }

  #settling(job: DeliveryJob): void {
    // No time-out finds it any more: what follows may take as long as the broker is away.
    job.deadline = 0;
    job.state = 'settling';
    this.options.lanes.yield(job);
  }
}

const acceptWith = (outputs: readonly OutgoingMessage[]): Settlement =>
  outputs.length === 0 ? ACCEPT : { kind: 'accept', outputs };
