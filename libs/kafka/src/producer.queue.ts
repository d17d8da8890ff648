import {
  backoff,
  EventingError,
  type Clock,
  type ErrorCode,
  PublishCall,
  type PublishFailure,
  type RawHeaders,
  settledWithin,
  type Timer,
} from 'nestjs-eventing';
import type { BatchOutcome, DriverProducer } from './kafka.driver.js';
import { refusal } from './kafka.errors.js';
import type { LaneBatch, ProducerLane } from './producer.lane.js';
import { QueuedRecord } from './producer.lane.js';
import { ProducerTopics, type TopicSource } from './producer.topics.js';

export interface ProducerRecord {
  readonly topic: string;
  readonly key: string | Uint8Array | undefined;
  readonly value: Uint8Array | null;
  readonly headers: RawHeaders;
  /** Milliseconds since 1970. */
  readonly time: number;
  /** Chooses the partition among so many, where not the key does. */
  readonly place?: (partitions: number) => number;
}

export interface ProducerQueueOptions {
  readonly batchBytes: number;
  /** Milliseconds. */
  readonly publishTimeout: number;
  /** Milliseconds. */
  readonly metadataMaxAge: number;
  readonly clock: Clock;
}

const STOPPED = 'The Kafka provider is stopped.';
/** Greatest size of one request; a broker refuses more than `socket.request.max.bytes`, usually 100 MiB. */
const REQUEST_BYTES = 16 * 1024 * 1024;

/**
 * Keeps messages in order, puts what arrives while a request is open into the next one, and repeats what failed.
 *
 * At most one request is open to each broker, with at most one batch of each partition. What holds: a message is stored at most
 * once and, if its call resolved, exactly once; messages of one key are stored in call order. The exception is a message that was
 * reported as failed with `indeterminate`: it may be stored, also after later ones.
 */
export class ProducerQueue {
  private readonly topics: ProducerTopics;
  private readonly busy = new Set<number>();
  private readonly calls: PublishCall<QueuedRecord>[] = [];
  private firstCall = 0;
  private expiry: Timer | undefined;
  private retry: Timer | undefined;
  private scheduled = false;
  private closed = false;
  private idle: (() => void) | undefined;

  constructor(
    private readonly producer: DriverProducer,
    source: TopicSource,
    private readonly options: ProducerQueueOptions,
  ) {
    this.topics = new ProducerTopics(source, options.metadataMaxAge, () => this.schedule());
  }

  /** Resolves when each record is stored or has failed. Never rejects. */
  publish(records: readonly ProducerRecord[]): Promise<readonly PublishFailure[]> {
    if (records.length === 0) return Promise.resolve([]);
    if (this.closed) {
      const error = new EventingError('EVT_NOT_RUNNING', STOPPED);
      return Promise.resolve(records.map((_, index) => ({ index, error, indeterminate: false })));
    }
    return new Promise((resolve) => {
      const deadline = this.options.clock.now() + this.options.publishTimeout;
      const call = new PublishCall<QueuedRecord>(records.length, deadline, resolve);
      for (let index = 0; index < records.length; index++) {
        const { topic, key, value, headers, time, place } = records[index] as ProducerRecord;
        const record = new QueuedRecord(call, index, key, value, headers, time, place);
        call.messages.push(record);
        this.topics.add(topic, record);
      }
      this.calls.push(call);
      this.schedule();
      if (this.expiry === undefined) this.watch();
    });
  }

  /** Rejects with the `EventingError` of the one record. */
  async publishOne(record: ProducerRecord): Promise<void> {
    const [failure] = await this.publish([record]);
    if (failure !== undefined) throw failure.error;
  }

  /** Takes nothing more. Resolves when everything taken is answered, at the latest after `patience` milliseconds. */
  async close(patience: number): Promise<void> {
    this.closed = true;
    if (this.hasOpenCalls()) await settledWithin(new Promise<void>((resolve) => (this.idle = resolve)), patience);
    this.expiry?.cancel();
    this.retry?.cancel();
    this.topics.close();
    for (const call of this.calls)
      this.giveUp(call, 'EVT_NOT_RUNNING', `${STOPPED} Kafka had not confirmed the event.`);
  }

  /** The broker is back: do not wait for the pause after the last failure. */
  hurry(): void {
    for (const lane of this.topics.lanes()) lane.notBefore = 0;
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    queueMicrotask(() => {
      this.scheduled = false;
      this.dispatch();
    });
  }

  private dispatch(): void {
    const now = this.options.clock.now();
    const requests = new Map<number, LaneBatch[]>();
    const lanes = new Map<LaneBatch, ProducerLane>();
    const sizes = new Map<number, number>();
    let soonest = Infinity;
    for (const [lane, leader] of this.topics.ready(now)) {
      if (leader === -1 || this.busy.has(leader)) continue;
      if (lane.notBefore > now) {
        soonest = Math.min(soonest, lane.notBefore);
        continue;
      }
      const size = sizes.get(leader) ?? 0;
      if (size >= REQUEST_BYTES) continue;
      const batch = lane.take(this.options.batchBytes);
      if (batch === undefined) continue;
      this.topics.taken(lane);
      lanes.set(batch, lane);
      sizes.set(
        leader,
        batch.records.reduce((sum, record) => sum + record.size, size),
      );
      const request = requests.get(leader);
      if (request === undefined) requests.set(leader, [batch]);
      else request.push(batch);
    }
    for (const [leader, batches] of requests) void this.send(leader, batches, lanes);
    if (soonest !== Infinity) this.retryAt(soonest);
  }

  private async send(
    leader: number,
    batches: readonly LaneBatch[],
    lanes: Map<LaneBatch, ProducerLane>,
  ): Promise<void> {
    this.busy.add(leader);
    for (const batch of batches) batch.sending = true;
    const outcomes = await this.producer.send(leader, batches);
    this.busy.delete(leader);
    for (let index = 0; index < batches.length; index++) {
      const batch = batches[index] as LaneBatch;
      batch.sending = false;
      this.settle(lanes.get(batch) as ProducerLane, batch, outcomes[index] as BatchOutcome);
    }
    this.forgetAnswered();
    this.schedule();
  }

  private settle(lane: ProducerLane, batch: LaneBatch, outcome: BatchOutcome): void {
    if (outcome.kind === 'stored') {
      lane.attempts = 0;
      lane.remove(batch);
      for (const record of batch.records) record.call.stored(record);
    } else if (outcome.kind === 'again') {
      batch.mayBeStored ||= outcome.mayBeStored;
      lane.attempts++;
      lane.notBefore = this.options.clock.now() + backoff(lane.attempts, 20, 1_000);
      this.topics.failed(lane, outcome.error);
      if (batch.records.every((record) => record.done)) this.abandon(lane, batch);
    } else if (outcome.divisible && batch.records.length > 1) {
      lane.divide(batch);
    } else {
      lane.remove(batch);
      const error = refusal(outcome.error, lane.topic);
      for (const record of batch.records) record.call.failed(record, error, false);
    }
  }

  /** Nobody waits for any of it. */
  private abandon(lane: ProducerLane, batch: LaneBatch): void {
    lane.remove(batch);
    this.producer.abandon(batch);
  }

  private expire(): void {
    const now = this.options.clock.now();
    for (let at = this.firstCall; at < this.calls.length; at++) {
      const call = this.calls[at] as PublishCall<QueuedRecord>;
      if (call.deadline > now) break;
      this.giveUp(call, 'EVT_PUBLISH_TIMEOUT', this.timeoutMessage());
    }
    for (const lane of this.topics.lanes()) {
      lane.prune();
      for (const batch of [...lane.batches]) {
        if (batch.sending || !batch.records.some((record) => record.done)) continue;
        if (batch.records.every((record) => record.done)) this.abandon(lane, batch);
        else if (!batch.mayBeStored) {
          // Some of its records were reported as not stored: they must not be sent with the rest.
          lane.narrow(batch);
          this.producer.abandon(batch);
        }
      }
    }
    this.topics.prune();
    this.forgetAnswered();
  }

  private giveUp(call: PublishCall<QueuedRecord>, code: ErrorCode, message: string): void {
    const cause = this.topics.lastError;
    for (const record of call.messages) {
      if (record.done) continue;
      const indeterminate = record.batch !== undefined && (record.batch.sending || record.batch.mayBeStored);
      call.failed(record, new EventingError(code, message, { indeterminate, cause }), indeterminate);
    }
  }

  private timeoutMessage(): string {
    const why = this.topics.lastError === undefined ? '' : `: ${this.topics.lastError.message}`;
    return `Kafka did not confirm the event within ${this.options.publishTimeout / 1000} s (\`publishTimeout\`)${why}.`;
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

  private retryAt(time: number): void {
    this.retry?.cancel();
    this.retry = this.options.clock.setTimeout(() => this.schedule(), Math.max(1, time - this.options.clock.now()));
  }
}
