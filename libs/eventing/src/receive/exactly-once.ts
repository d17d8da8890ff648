import { createHash } from 'node:crypto';
import type { Clock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage, ProviderLogger, PublishFailure } from '../provider/event-provider.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { AttemptRunner } from './attempt.runner.js';
import type { DeliveryJob } from './delivery.job.js';
import { DeliveryOutputs } from './delivery.outputs.js';
import type { Inbox, InboxEntry, InboxOutcome, StagedMessage } from './inbox.js';

/** Pause between tries to publish stored outputs while a provider cannot. Milliseconds. */
const PUBLISH_AGAIN = 1000;

export interface ExactlyOnceOptions {
  readonly service: string;
  /** The provider that delivers, by its name in this application. */
  readonly provider: string;
  /** It settles and publishes in one transaction. */
  readonly transactional: boolean;
  readonly inbox: Inbox | undefined;
  readonly attempts: AttemptRunner;
  /** Publishes by a provider of this name, connected first if need be. */
  readonly publish: (provider: string, messages: readonly OutgoingMessage[]) => Promise<readonly PublishFailure[]>;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
}

/**
 * Attempts of exactly-once listeners: keeps what they send until they have succeeded, and runs them inside the inbox where there is
 * one. What comes back goes with the accept.
 */
export class ExactlyOnce {
  constructor(private readonly options: ExactlyOnceOptions) {}

  /** Rejects with what the listener threw, or with why it could not be run; then nothing of the attempt is left. */
  async run(
    job: DeliveryJob,
    message: DecodedMessage,
    body: object,
    listener: ListenerDescriptor,
  ): Promise<readonly OutgoingMessage[]> {
    const { inbox, provider, service } = this.options;
    const origin = { listener: `${service}.${listener.name}`, source: message.source, id: message.id };
    if (inbox !== undefined) {
      const entry = { ...origin, digest: createHash('sha256').update(job.delivery.body).digest() };
      return this.#split(job, await this.#inside(inbox, entry, job, message, body, listener));
    }
    const outputs = new DeliveryOutputs(origin, provider);
    try {
      await this.options.attempts.runIn(outputs, job, message, body, listener);
      return outputs.staged.map((staged) => staged.message);
    } finally {
      outputs.close();
    }
  }

  async #inside(
    inbox: Inbox,
    entry: InboxEntry,
    job: DeliveryJob,
    message: DecodedMessage,
    body: object,
    listener: ListenerDescriptor,
  ): Promise<readonly StagedMessage[]> {
    const { run } = job;
    let forgiven: readonly StagedMessage[] | undefined;
    let outcome: InboxOutcome;
    try {
      outcome = await inbox.once(entry, async (unitOfWork) => {
        const outputs = new DeliveryOutputs(entry, undefined, unitOfWork);
        try {
          const well = await this.options.attempts.runIn(outputs, job, message, body, listener);
          // Its effects are half done: they go, and what an exception handler sent in their place stays.
          if (!well) forgiven = outputs.staged;
          if (!well || job.run !== run) throw new EventingError('EVT_LISTENER_TIMEOUT', 'The attempt counts no more.');
        } finally {
          outputs.close();
        }
      });
    } catch (error) {
      if (forgiven !== undefined) return forgiven;
      throw error;
    }
    return outcome.outputs;
  }

  /** Publishes what cannot go with the accept; until that is done the event is not accepted. */
  async #split(job: DeliveryJob, outputs: readonly StagedMessage[]): Promise<readonly OutgoingMessage[]> {
    const { provider, transactional } = this.options;
    const own: OutgoingMessage[] = [];
    const others = new Map<string, OutgoingMessage[]>();
    for (const staged of outputs) {
      if (transactional && staged.provider === provider) own.push(staged.message);
      else others.set(staged.provider, [...(others.get(staged.provider) ?? []), staged.message]);
    }
    for (const [name, messages] of others) await this.#publish(job, name, messages);
    return own;
  }

  /** The listener is done, and is on record: no time-out and no failure of a broker must make an attempt of this. */
  async #publish(job: DeliveryJob, provider: string, messages: readonly OutgoingMessage[]): Promise<void> {
    job.deadline = 0;
    const { clock, logger } = this.options;
    for (let left = messages; ;) {
      let cause: unknown;
      try {
        const failures = await this.options.publish(provider, left);
        if (failures.length === 0) return;
        cause = failures[0]?.error;
        const failed = new Set(failures.map(({ index }) => index));
        left = left.filter((_, index) => failed.has(index));
      } catch (error) {
        cause = error;
      }
      const why = cause instanceof Error ? cause.message : String(cause);
      if (job.state === 'gone')
        throw new EventingError(
          'EVT_NOT_RUNNING',
          `Outputs of ${String(job)} are published when it comes back: ${why}`,
          {
            cause,
          },
        );
      logger.warn(`Outputs of ${String(job)} could not be published by "${provider}", and are tried again: ${why}`);
      await new Promise<void>((resolve) => clock.setTimeout(resolve, PUBLISH_AGAIN, true));
    }
  }
}
