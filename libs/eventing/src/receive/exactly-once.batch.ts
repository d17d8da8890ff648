import { EventingError } from '../errors/eventing.error.js';
import type { ListenerDescriptor } from '../registry/listener.descriptor.js';
import type { AttemptRunner } from './attempt.runner.js';
import { type BatchOutcome, batchOutcome, type HandledInBatch } from './batch.outcome.js';
import type { DeliveryJob } from './delivery.job.js';
import { DeliveryOutputs } from './delivery.outputs.js';
import type { ExactlyOnce, Handled } from './exactly-once.js';
import type { Inbox, InboxBatchOutcome, InboxEntry, StagedMessage } from './inbox.js';
import { inboxEntry } from './inbox.entry.js';
import type { Read } from './message.reader.js';

export interface ExactlyOnceBatchOptions {
  readonly service: string;
  readonly inbox: Inbox;
  readonly attempts: AttemptRunner;
  readonly once: ExactlyOnce;
}

/**
 * Batches of exactly-once listeners, inside the inbox: what a batch does and the record of all its events commit together. What is known
 * already is taken out before the listener sees it. A batch that fails is undone as a whole, and its events are handled alone.
 */
export class ExactlyOnceBatch {
  constructor(private readonly options: ExactlyOnceBatchOptions) {}

  /** For one event alone. */
  get once(): ExactlyOnce {
    return this.options.once;
  }

  /** As `AttemptRunner.runBatch`. Never rejects. */
  async runBatch(jobs: readonly DeliveryJob[], listener: ListenerDescriptor): Promise<BatchOutcome> {
    const runs = jobs.map(({ run }) => run);
    let forgiven: readonly StagedMessage[] | undefined;
    try {
      const outcome = await this.#inside(jobs, listener, (counted, outputs) => {
        if (counted !== outputs) forgiven = counted.staged;
        if (counted !== outputs || jobs.some((job, index) => job.run !== runs[index]))
          throw new EventingError('EVT_LISTENER_TIMEOUT', 'The attempt counts no more.');
      });
      return this.#outcome(jobs, outcome);
    } catch (error) {
      // Of one event alone: only then an exception handler is asked within the attempt.
      if (forgiven !== undefined) return this.#outcome(jobs, { known: new Map(), outputs: forgiven });
      return jobs.length === 1 ? batchOutcome(error, listener.label, 1) : { kind: 'unknown', error };
    }
  }

  /** @param counts called when the listener has returned, with the outputs that count; what it throws undoes all */
  #inside(
    jobs: readonly DeliveryJob[],
    listener: ListenerDescriptor,
    counts: (counted: DeliveryOutputs, outputs: DeliveryOutputs) => void,
  ): Promise<InboxBatchOutcome> {
    const { service, inbox, attempts } = this.options;
    if (inbox.onceAll === undefined)
      return Promise.reject(new EventingError('EVT_UNSUPPORTED', 'This inbox takes no batches: it has no onceAll().'));
    const entries = jobs.map((job) => entryOf(job, service, listener.name));
    return inbox.onceAll(entries, async (fresh, unitOfWork) => {
      const own = fresh.map((index) => jobs[index] as DeliveryJob);
      // The first of them is handled once: what its id and a number make is unique.
      const outputs = new DeliveryOutputs(entries[fresh[0] ?? 0] as InboxEntry, undefined, unitOfWork);
      try {
        counts(await attempts.runBatchIn(outputs, own, listener, jobs.length === 1), outputs);
      } finally {
        outputs.close();
      }
    });
  }

  #outcome(jobs: readonly DeliveryJob[], { known, outputs }: InboxBatchOutcome): BatchOutcome {
    const { once } = this.options;
    const together = once.split(outputs);
    const publishing = new BatchPublishing(once);
    const failures = new Map<number, unknown>();
    const handled = new Map<number, HandledInBatch>();
    let accepts = together.outputs;
    for (const index of jobs.keys()) {
      const before = known.get(index);
      if (before === undefined) {
        handled.set(index, { by: publishing, what: { ...together, outputs: accepts } });
        // They go with one accept. It is the first of the batch that the inbox keeps them with: should it come again, so do they.
        accepts = [];
      } else if (Array.isArray(before)) handled.set(index, { by: once, what: once.split(before as StagedMessage[]) });
      else failures.set(index, before);
    }
    return { kind: 'known', failures, handled };
  }
}

/** Publishes for a whole batch, once. Whoever is left when the first is gone does it alone: what is there twice has one id. */
class BatchPublishing {
  #first: Promise<void> | undefined;

  constructor(private readonly once: ExactlyOnce) {}

  publish(job: DeliveryJob, before: Handled['before']): Promise<void> {
    const first = this.#first;
    if (first !== undefined) return first.catch(() => this.once.publish(job, before));
    this.#first = this.once.publish(job, before);
    return this.#first;
  }
}

function entryOf(job: DeliveryJob, service: string, listener: string): InboxEntry {
  // Whatever has joined a batch was read.
  const { message } = job.read as Extract<Read, { readonly kind: 'wanted' }>;
  return inboxEntry(service, listener, job, message);
}
