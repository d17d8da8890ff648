import type { Clock } from '../clock.js';
import { deadLetterOf } from '../dead-letters/dead-letter.factory.js';
import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type { EventProvider, LogDetails, ProviderLogger, Settlement } from '../provider/event-provider.js';
import type { EventingObserver } from '../runtime/eventing.observer.js';
import type { DeliveryJob } from './delivery.job.js';
import type { Failure } from './failure.js';

/** Pause between tries to settle while the provider cannot. Milliseconds. */
const SETTLE_AGAIN = 1000;

const ACCEPT: Settlement = { kind: 'accept' };
const RELEASE: Settlement = { kind: 'release' };

export interface SettlerOptions {
  readonly service: string;
  /** The subscription's name. */
  readonly name: string;
  readonly provider: EventProvider;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
  readonly observer?: EventingObserver | undefined;
  /** Later events of a key wait behind its dead letters. @default false */
  readonly sequenced?: boolean;
}

/** Brings messages to where the kernel decided that they belong. */
export class Settler {
  constructor(private readonly options: SettlerOptions) {}

  /** Never fails for the caller: a message whose accept is lost comes back. */
  accept(job: DeliveryJob): void {
    try {
      const accepted = job.delivery.settle(ACCEPT);
      if (accepted !== undefined) accepted.catch((error: unknown) => this.#notAccepted(job, error));
    } catch (error) {
      this.#notAccepted(job, error);
    }
  }

  #notAccepted(job: DeliveryJob, error: unknown): void {
    this.say('warn', job, 'It could not be accepted, and comes back', error);
  }

  /** Tries, and tries again until the message is safe in its new place or its job is leaving; then it comes back as it is. */
  move(job: DeliveryJob, settlement: Settlement, done: () => void): void {
    const problem = `It could not be settled (${settlement.kind})`;
    this.insist(job, problem, () => this.#settle(job, settlement), done, done);
  }

  /** Takes a step, again and again until it succeeds and then goes on; or until the job is leaving. @param left instead of `next` then */
  insist(job: DeliveryJob, problem: string, step: () => Promise<void>, next: () => void, left: () => void): void {
    const go = (): void => {
      job.timer = undefined;
      if (job.state === 'gone') return left();
      step().then(next, (error: unknown) => {
        this.say('error', job, problem, error);
        if (job.state === 'gone' || job.leaving !== undefined) left();
        else job.timer = this.options.clock.setTimeout(go, SETTLE_AGAIN, true);
      });
    };
    go();
  }

  /** Hands the message back without waiting; if that fails it comes back all the same, later. */
  release(job: DeliveryJob): void {
    this.#settle(job, RELEASE).catch((error: unknown) => {
      this.say('warn', job, 'It could not be released', error);
    });
  }

  letter(job: DeliveryJob, failure: Failure, attempts: number): DeadLetter {
    const { service, name, clock } = this.options;
    const now = clock.now();
    const { delivery, firstFailedAt = now } = job;
    const message = job.read?.message;
    const letter = deadLetterOf({
      ...{ service, listener: name, delivery, message, failure, attempts, firstFailedAt, now },
      id: job.release?.letter,
      sequenced: this.options.sequenced === true && delivery.key !== undefined,
    });
    this.options.observer?.deadLettered(letter);
    return letter;
  }

  /** Writes a letter for a message that is settled already (at-most-once). */
  mourn(job: DeliveryJob, failure: Failure): void {
    this.options.provider.deadLetters.append(this.letter(job, failure, job.attempt)).catch((error: unknown) => {
      this.say('error', job, 'Its dead letter could not be stored', error);
    });
  }

  say(level: 'warn' | 'error', job: DeliveryJob, text: string, error: unknown): void {
    const { name, logger } = this.options;
    const { channel, position } = job.delivery;
    const { message } = job.read ?? {};
    const known =
      message === undefined ? {} : { event: message.name, id: message.id, correlationId: message.correlationId };
    const { attempt } = job;
    logger[level](`${text}: ${String(job)}: ${error instanceof Error ? error.message : String(error)}`, {
      listener: name,
      channel,
      position,
      attempt,
      error: errorOf(error),
      ...known,
    });
  }

  async #settle(job: DeliveryJob, settlement: Settlement): Promise<void> {
    await job.delivery.settle(settlement);
  }
}

function errorOf(error: unknown): LogDetails['error'] {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error) };
  const { name, message } = error;
  return 'code' in error && typeof error.code === 'string' ? { name, message, code: error.code } : { name, message };
}
