import type { Clock } from '../clock.js';
import { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage, ProviderLogger, PublishFailure } from '../provider/event-provider.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { DecodedMessage } from '../wire/wire-format.js';
import type { AttemptRunner } from './attempt.runner.js';
import type { DeliveryJob } from './delivery.job.js';
import { DeliveryOutputs } from './delivery.outputs.js';
import { inboxEntry } from './inbox.entry.js';
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

/** What is left to do for an event whose listener is done. */
export interface Handled {
  /** They go with the accept. */
  readonly outputs: readonly OutgoingMessage[];
  /** To be published before it is accepted, by provider: see `ExactlyOnce.publish`. */
  readonly before: ReadonlyMap<string, readonly OutgoingMessage[]>;
}

/**
 * Attempts of exactly-once listeners: keeps what they send until they have succeeded, and runs them inside the inbox where there is
 * one.
 */
export class ExactlyOnce {
  constructor(private readonly options: ExactlyOnceOptions) {}

  /** Rejects with what the listener threw, or with why it could not be run; then nothing of the attempt is left. */
  async run(job: DeliveryJob, message: DecodedMessage, body: object, listener: ListenerDescriptor): Promise<Handled> {
    const { inbox, provider, service } = this.options;
    if (inbox !== undefined) {
      const entry = inboxEntry(service, listener.name, job, message);
      return this.split(await this.#inside(inbox, entry, job, message, body, listener), job);
    }
    const origin = { listener: `${service}.${listener.name}`, source: message.source, id: message.id };
    const outputs = new DeliveryOutputs(origin, provider);
    try {
      const { staged } = await this.options.attempts.runIn(outputs, job, message, body, listener);
      return this.split(staged, job);
    } finally {
      outputs.close();
    }
  }

  /** Whether it can tell what was handled before. */
  get remembers(): boolean {
    return this.options.inbox !== undefined;
  }

  /** What is left to do for an event that was handled before; undefined where it was not. Rejects where that cannot be told. */
  async known(job: DeliveryJob, message: DecodedMessage, listener: ListenerDescriptor): Promise<Handled | undefined> {
    const { inbox, service } = this.options;
    const isNew = new Error('It was not handled before.');
    try {
      const entry = inboxEntry(service, listener.name, job, message);
      const outcome = await inbox?.once(entry, () => Promise.reject(isNew));
      return outcome && this.split(outcome.outputs, job);
    } catch (error) {
      if (error === isNew) return undefined;
      throw error;
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
          const counted = await this.options.attempts.runIn(outputs, job, message, body, listener);
          // Its effects are half done: they go, and what an exception handler sent in their place stays.
          if (counted !== outputs) forgiven = counted.staged;
          if (counted !== outputs || job.run !== run)
            throw new EventingError('EVT_LISTENER_TIMEOUT', 'The attempt counts no more.');
        } finally {
          outputs.close();
        }
      });
    } catch (error) {
      if (forgiven !== undefined && job.run === run) return forgiven;
      throw error;
    }
    return outcome.outputs;
  }

  /**
   * What of these goes with the accept, and what does not. Of a redriven letter that others wait behind, nothing does: its row goes on before
   * the accept has its place, and a crash in between would find the letter gone.
   */
  split(staged: readonly StagedMessage[], job?: DeliveryJob): Handled {
    const { provider } = this.options;
    const transactional = this.options.transactional && job?.release === undefined;
    const outputs: OutgoingMessage[] = [];
    const before = new Map<string, OutgoingMessage[]>();
    for (const output of staged) {
      if (transactional && output.provider === provider) outputs.push(output.message);
      else before.set(output.provider, [...(before.get(output.provider) ?? []), output.message]);
    }
    return { outputs, before };
  }

  /**
   * Publishes what cannot go with the accept, and tries again until it is done; until then the event is not accepted. Rejects with
   * EVT_NOT_RUNNING where the event is gone meanwhile: it is done when the event comes back.
   */
  async publish(job: DeliveryJob, before: Handled['before']): Promise<void> {
    for (const [name, messages] of before) await this.#publish(job, name, messages);
  }

  async #publish(job: DeliveryJob, provider: string, messages: readonly OutgoingMessage[]): Promise<void> {
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
