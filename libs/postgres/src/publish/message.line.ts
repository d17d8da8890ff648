import type { QueuedMessage } from './queued.message.js';

export interface BatchLimits {
  readonly messages: number;
  /** Of all bodies, unless a single one is larger. */
  readonly bytes: number;
}

/** Messages that go into one statement. Once sent it stays as it is, under its number, until its fate is known. */
export class Batch {
  /** It was sent, and nobody knows whether it was stored. */
  mayBeStored = false;
  sending = false;
  /** Given when it is its turn, so that numbers ascend in the order of sending. */
  number = 0;

  constructor(
    public messages: readonly QueuedMessage[],
    /** For single subscriptions, and not for the log. */
    readonly targeted: boolean,
  ) {}
}

/** What waits for being sent, first come first. */
export class MessageLine {
  private waiting: QueuedMessage[] = [];
  private at = 0;
  /** What has to be sent again, or was divided. */
  private batches: Batch[] = [];
  private numbers = 0;

  constructor(private readonly limits: BatchLimits) {}

  add(messages: readonly QueuedMessage[]): void {
    for (const message of messages) this.waiting.push(message);
  }

  /** The batch that is to be stored next, before any other; the same until it is removed or divided. */
  first(): Batch | undefined {
    const batch = this.batches[0] ?? this.form();
    if (batch === undefined) return undefined;
    if (this.batches.length === 0) this.batches.push(batch);
    if (batch.number === 0) batch.number = ++this.numbers;
    return batch;
  }

  /** What was not stored in time, and nobody waits for any more, is not stored later either. */
  prune(): void {
    this.batches = this.batches.filter((batch) => {
      if (batch.sending) return true;
      if (!batch.mayBeStored) batch.messages = batch.messages.filter(({ done }) => !done);
      return batch.messages.some(({ done }) => !done);
    });
  }

  remove(batch: Batch): void {
    this.batches = this.batches.filter((other) => other !== batch);
  }

  /** One of them cannot be stored: the halves are tried alone. */
  divide(batch: Batch): void {
    const half = batch.messages.length >> 1;
    const parts = [batch.messages.slice(0, half), batch.messages.slice(half)];
    const halves = parts.map((messages) => new Batch(messages, batch.targeted));
    this.batches = this.batches.flatMap((other) => (other === batch ? halves : [other]));
  }

  batchOf(queued: QueuedMessage): Batch | undefined {
    return this.batches.find(({ messages }) => messages.includes(queued));
  }

  private form(): Batch | undefined {
    const messages: QueuedMessage[] = [];
    let bytes = 0;
    let targeted = false;
    for (; this.at < this.waiting.length; this.at++) {
      const queued = this.waiting[this.at] as QueuedMessage;
      if (queued.done) continue;
      const size = queued.message.body.byteLength;
      if (messages.length === 0) targeted = queued.message.to !== undefined;
      else if (
        messages.length >= this.limits.messages ||
        bytes + size > this.limits.bytes ||
        targeted !== (queued.message.to !== undefined)
      )
        break;
      messages.push(queued);
      bytes += size;
    }
    if (this.at === this.waiting.length || this.at > 4_096) {
      this.waiting = this.waiting.slice(this.at);
      this.at = 0;
    }
    return messages.length === 0 ? undefined : new Batch(messages, targeted);
  }
}
