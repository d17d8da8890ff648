import { Alarm, backoff, type Clock, EventingError, type ErrorCode, type OutgoingMessage, PublishCall, type PublishFailure, settledWithin, type Timer } from 'nestjs-eventing'; // prettier-ignore
import type { Channels } from '../log/channels.js';
import { partitionOf } from '../log/partition.of.js';
import { connectionError, isLostConnection, isMissingTable, mayPass, NotConnectedError, refusal } from '../postgres.errors.js'; // prettier-ignore
import { type Batch, type BatchLimits, MessageLine } from './message.line.js';
import { QueuedMessage } from './queued.message.js';
import type { PlacedMessage } from './event.writer.js';

export interface PublishQueueOptions extends BatchLimits {
  /** Milliseconds. */
  readonly publishTimeout: number;
  readonly clock: Clock;
  store(number: number, targeted: boolean, messages: readonly PlacedMessage[]): Promise<void>;
}

const STOPPED = 'The PostgreSQL provider is stopped.';

/**
 * Stores messages in call order: one statement at a time, with all that arrived while the one before was under way.
 *
 * A statement whose answer was lost is sent again as it was, under its number, by which the database knows whether it has it. So a message
 * is stored at most once and, if its call resolved, exactly once; what was reported as failed with `indeterminate` may be stored, once.
 */
export class PublishQueue {
  private readonly line: MessageLine;
  private readonly calls: PublishCall<QueuedMessage>[] = [];
  private firstCall = 0;
  /** There while it waits after a failure. */
  private pausing: Alarm | undefined;
  private expiry: Timer | undefined;
  private running = false;
  private closed = false;
  private idle: (() => void) | undefined;
  private lastError: unknown;
  private nextPartition = Math.floor(Math.random() * 1_000);

  constructor(
    private readonly channels: Channels,
    private readonly options: PublishQueueOptions,
  ) {
    this.line = new MessageLine(options);
  }

  /** Resolves when each message is stored or has failed. Never rejects. */
  publish(messages: readonly OutgoingMessage[]): Promise<readonly PublishFailure[]> {
    if (messages.length === 0) return Promise.resolve([]);
    if (this.closed) {
      const error = new EventingError('EVT_NOT_RUNNING', STOPPED);
      return Promise.resolve(messages.map((_, index) => ({ index, error, indeterminate: false })));
    }
    return new Promise((resolve) => {
      const deadline = this.options.clock.now() + this.options.publishTimeout;
      const call = new PublishCall<QueuedMessage>(messages.length, deadline, resolve);
      for (let index = 0; index < messages.length; index++)
        call.messages.push(new QueuedMessage(call, index, messages[index] as OutgoingMessage));
      this.calls.push(call);
      this.line.add(call.messages);
      if (this.expiry === undefined) this.watch();
      if (!this.running) void this.run();
    });
  }

  /** Takes nothing more. Resolves when everything taken is answered, at the latest after `patience` milliseconds. */
  async close(patience: number): Promise<void> {
    this.closed = true;
    this.pausing?.wake();
    if (this.hasOpenCalls()) await settledWithin(new Promise<void>((resolve) => (this.idle = resolve)), patience);
    this.expiry?.cancel();
    const why = `${STOPPED} The database had not confirmed the event.`;
    for (const call of this.calls) this.giveUp(call, 'EVT_NOT_RUNNING', why);
    this.pausing?.wake();
  }

  /** The server is back: do not wait for the pause after the last failure. */
  hurry(): void {
    this.pausing?.wake();
  }

  private async run(): Promise<void> {
    this.running = true;
    // With what else is sent in this turn.
    await Promise.resolve();
    let failures = 0;
    for (;;) {
      this.line.prune();
      const batch = this.line.first();
      if (batch === undefined || (this.closed && !this.hasOpenCalls())) break;
      try {
        await this.send(batch);
        failures = 0;
      } catch (error) {
        this.lastError = error;
        failures++;
        this.pausing = new Alarm();
        await this.pausing.sleep(backoff(failures, 20, 1_000));
        this.pausing = undefined;
      }
      this.forgetAnswered();
    }
    this.running = false;
  }

  /** Rejects where the batch is to be sent again. */
  private async send(batch: Batch): Promise<void> {
    batch.sending = true;
    try {
      await this.channels.ensure(batch.messages.map(({ message }) => message.channel));
      const placed = batch.messages.map((queued) => this.placed(queued));
      await this.options.store(batch.number, batch.targeted, placed);
      this.line.remove(batch);
      for (const queued of batch.messages) queued.call.stored(queued);
    } catch (error) {
      batch.mayBeStored ||= isLostConnection(error) && !(error instanceof NotConnectedError);
      if (isMissingTable(error)) this.channels.forget();
      if (mayPass(error)) throw error;
      this.refuse(batch, error);
    } finally {
      batch.sending = false;
    }
  }

  private refuse(batch: Batch, error: unknown): void {
    // One that may be stored keeps its number: in pieces, with numbers of their own, it might be stored again.
    if (batch.messages.length > 1 && !batch.mayBeStored) {
      this.line.divide(batch);
      return;
    }
    this.line.remove(batch);
    for (const queued of batch.messages)
      queued.call.failed(queued, refusal(error, queued.message.channel), batch.mayBeStored);
  }

  private placed(queued: QueuedMessage): PlacedMessage {
    const { message } = queued;
    const partitions = this.channels.partitions(message.channel) ?? 1;
    if (message.key === undefined) {
      this.nextPartition = (this.nextPartition + 1) % partitions;
      return { message, partition: this.nextPartition };
    }
    return { message, partition: partitionOf(message.key, partitions) };
  }

  private giveUp(call: PublishCall<QueuedMessage>, code: ErrorCode, message: string): void {
    const cause = this.lastError;
    for (const queued of call.messages) {
      if (queued.done) continue;
      const batch = this.line.batchOf(queued);
      const indeterminate = batch !== undefined && (batch.sending || batch.mayBeStored);
      call.failed(queued, new EventingError(code, message, { indeterminate, cause }), indeterminate);
    }
  }

  private expire(): void {
    const now = this.options.clock.now();
    for (let at = this.firstCall; at < this.calls.length; at++) {
      const call = this.calls[at] as PublishCall<QueuedMessage>;
      if (call.deadline > now) break;
      this.giveUp(call, ...this.timedOut());
    }
    this.line.prune();
    this.forgetAnswered();
  }

  /** A full disk or a server that only reads is told as such: waiting longer would not have helped. */
  private timedOut(): [ErrorCode, string] {
    const known = this.lastError === undefined ? undefined : connectionError(this.lastError);
    if (known?.code === 'EVT_DISK_FULL' || known?.code === 'EVT_READ_ONLY') return [known.code, known.message];
    const why = known === undefined ? '' : `: ${known.message}`;
    const seconds = this.options.publishTimeout / 1000;
    return [
      'EVT_PUBLISH_TIMEOUT',
      `PostgreSQL did not confirm the event within ${seconds} s (\`publishTimeout\`)${why}`,
    ];
  }

  private hasOpenCalls(): boolean {
    return this.calls.some((call) => call.open);
  }

  private forgetAnswered(): void {
    while (this.firstCall < this.calls.length && this.calls[this.firstCall]?.open === false) this.firstCall++;
    if (this.firstCall > 1024 || this.firstCall === this.calls.length) {
      this.calls.splice(0, this.firstCall);
      this.firstCall = 0;
    }
    if (this.closed && !this.hasOpenCalls()) this.idle?.();
  }

  /** Deadlines are in call order, so one timer for the first open call is enough; it is not moved for each. */
  private watch(): void {
    this.expiry = undefined;
    const first = this.calls[this.firstCall];
    if (first === undefined) return;
    this.expiry = this.options.clock.setTimeout(
      () => {
        this.expire();
        this.watch();
      },
      Math.max(1, first.deadline - this.options.clock.now()),
    );
  }
}
