import type { BatchOutcome, DriverProducer, ProducerBatch } from './kafka.driver.js';
import { DriverError } from './kafka.driver.js';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { asDriverError, errorOfCode, isRetriable, throwOnCode } from './kafkajs.codes.js';
import { PRODUCE_TIMEOUT, decodeProduceAnswer, encodeProduce } from './kafkajs.produce.js';
import { RecordEncoder } from './record.encoder.js';

/** One producer id. A partition that lost its place gets a new one, alone. */
interface Identity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

interface Sequence {
  identity: Identity;
  /** The sequence number of the next new batch. */
  next: number;
}

/** Fixed with the first sending: a broker knows a repeated batch by exactly these numbers and this count. */
interface Stamp {
  readonly identity: Identity;
  readonly firstSequence: number;
}

const DUPLICATE = 'DUPLICATE_SEQUENCE_NUMBER';
/** The broker's memory of this producer does not go on where we do. */
const LOST_PLACE = new Set([
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_PRODUCER_EPOCH',
  'INVALID_PRODUCER_ID_MAPPING',
  'PRODUCER_FENCED',
]);
/** Refused by validation, where a part of the batch may be fine. */
const DIVISIBLE = new Set(['MESSAGE_TOO_LARGE', 'RECORD_LIST_TOO_LARGE', 'INVALID_RECORD', 'INVALID_TIMESTAMP']);
/** The leader has it, or had it when it ceased to be the leader, and does not know whether it will stay. */
const MAYBE = new Set([
  'REQUEST_TIMED_OUT',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'NOT_LEADER_FOR_PARTITION',
  'NETWORK_EXCEPTION',
  'UNKNOWN',
]);
const MOVED = new Set([
  'NOT_LEADER_FOR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'FENCED_LEADER_EPOCH',
]);

const MAX_SEQUENCE = 2_147_483_648;

/**
 * Idempotent sending with sequence numbers of our own. kafkajs's producer counts per partition whatever happens to be in the
 * request, forgets which batch had which number once a request fails for one of its partitions, and repeats a different batch
 * under the same number (its #1005, #598). Here a batch keeps its number until its fate is known, so that a repeat is either
 * recognised by the broker or stored for the first time.
 */
export class KafkajsProducer implements DriverProducer {
  private readonly sequences = new Map<string, Sequence>();
  private readonly stamps = new WeakMap<ProducerBatch, Stamp>();
  /** The last name that each partition knew us by. */
  private readonly used = new Map<string, Identity>();
  private readonly encoder = new RecordEncoder();
  private identity: Promise<Identity> | undefined;

  constructor(
    private readonly cluster: KafkajsCluster,
    private readonly lane: string,
  ) {}

  async send(leader: number, batches: readonly ProducerBatch[]): Promise<readonly BatchOutcome[]> {
    const outcomes = new Array<BatchOutcome>(batches.length);
    try {
      for (const batch of batches) await this.stamp(batch);
    } catch (error) {
      return outcomes.fill({ kind: 'again', mayBeStored: false, error: asDriverError(error) });
    }
    // One request carries one producer id; almost always there is one.
    const rest = batches.map((_, index) => index);
    while (rest.length > 0) {
      const { identity } = this.stampOf(batches[rest[0] as number] as ProducerBatch);
      const together = rest.filter((index) => this.stampOf(batches[index] as ProducerBatch).identity === identity);
      await this.exchange(leader, identity, batches, together, outcomes);
      for (const index of together) rest.splice(rest.indexOf(index), 1);
    }
    return outcomes;
  }

  abandon(batch: ProducerBatch): void {
    // Nobody knows whether the broker counted it: what follows must not depend on that.
    if (this.stamps.delete(batch)) this.sequences.delete(partitionKey(batch));
  }

  private async exchange(
    leader: number,
    identity: Identity,
    batches: readonly ProducerBatch[],
    together: readonly number[],
    outcomes: BatchOutcome[],
  ): Promise<void> {
    let sent = false;
    try {
      const connection = await this.cluster.node(leader, this.lane);
      const stamped = together.map((index) => {
        const batch = batches[index] as ProducerBatch;
        return { batch, identity: { ...identity, firstSequence: this.stampOf(batch).firstSequence } };
      });
      const body = encodeProduce(this.encoder, undefined, stamped);
      sent = true;
      const codes = await connection.exchange('Produce', body, decodeProduceAnswer, PRODUCE_TIMEOUT);
      for (const index of together) {
        const batch = batches[index] as ProducerBatch;
        outcomes[index] = this.outcome(batch, codes.get(partitionKey(batch)) ?? -1);
      }
    } catch (thrown) {
      const error = asDriverError(thrown);
      for (const index of together) {
        // The leader may have moved with the broker that is gone.
        this.cluster.invalidate((batches[index] as ProducerBatch).topic);
        outcomes[index] = { kind: 'again', mayBeStored: sent, error };
      }
    }
  }

  private outcome(batch: ProducerBatch, code: number): BatchOutcome {
    const error = errorOfCode(code, `storing into ${partitionKey(batch)}`);
    if (error === undefined || error.type === DUPLICATE) {
      this.stamps.delete(batch);
      return { kind: 'stored' };
    }
    if (LOST_PLACE.has(error.type)) {
      // The log that answers does not hold this batch (it would have known it for a repeat): begin again under a new name.
      this.stamps.delete(batch);
      this.sequences.delete(partitionKey(batch));
      this.identity = undefined;
      return { kind: 'again', mayBeStored: false, error };
    }
    if (MOVED.has(error.type)) this.cluster.invalidate(batch.topic);
    const mayBeStored = MAYBE.has(error.type);
    if (mayBeStored || isRetriable(error)) return { kind: 'again', mayBeStored, error };
    // Certainly not stored, so its number is free for what comes next.
    const stamp = this.stampOf(batch);
    const sequence = this.sequences.get(partitionKey(batch));
    if (sequence?.identity === stamp.identity) sequence.next = stamp.firstSequence;
    this.stamps.delete(batch);
    return { kind: 'refused', divisible: DIVISIBLE.has(error.type), error };
  }

  private async stamp(batch: ProducerBatch): Promise<void> {
    if (this.stamps.has(batch)) return;
    const key = partitionKey(batch);
    let sequence = this.sequences.get(key);
    if (sequence === undefined) {
      // A partition that lost its place must not use the name it had there.
      sequence = { identity: await this.ownIdentity(key), next: 0 };
      this.sequences.set(key, sequence);
    }
    this.stamps.set(batch, { identity: sequence.identity, firstSequence: sequence.next });
    sequence.next = (sequence.next + batch.records.length) % MAX_SEQUENCE;
  }

  private stampOf(batch: ProducerBatch): Stamp {
    const stamp = this.stamps.get(batch);
    if (stamp === undefined) throw new DriverError('UNKNOWN', 'a batch was sent that has no sequence number');
    return stamp;
  }

  private async ownIdentity(key: string): Promise<Identity> {
    this.identity ??= this.newIdentity();
    let identity: Identity;
    try {
      identity = await this.identity;
    } catch (error) {
      this.identity = undefined;
      throw error;
    }
    if (this.used.get(key) === identity) {
      this.identity = this.newIdentity();
      return this.ownIdentity(key);
    }
    this.used.set(key, identity);
    return identity;
  }

  private async newIdentity(): Promise<Identity> {
    const control = await this.cluster.control();
    const answer = await control.call<{ errorCode: number; producerId: string; producerEpoch: number }>(
      'InitProducerId',
      {
        transactionTimeout: 60_000,
      },
    );
    throwOnCode(answer.errorCode, 'asking for a producer id');
    return { producerId: BigInt(answer.producerId), producerEpoch: answer.producerEpoch };
  }
}

function partitionKey(batch: ProducerBatch): string {
  return `${batch.topic}/${batch.partition}`;
}
