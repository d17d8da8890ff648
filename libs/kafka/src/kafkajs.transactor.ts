import { Alarm, backoff } from 'nestjs-eventing';
import {
  DriverError,
  FencedError,
  type DriverTransactor,
  type ProducerBatch,
  type Transaction,
} from './kafka.driver.js';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { asDriverError, errorOfCode, isAnswer, isRetriable, throwOnCode } from './kafkajs.codes.js';
import type { ApiName, KafkajsConnection } from './kafkajs.connection.js';
import { PRODUCE_TIMEOUT, decodeProduceAnswer, encodeProduce } from './kafkajs.produce.js';
import { RecordEncoder } from './record.encoder.js';

interface Owner {
  readonly transactionalId: string;
  readonly producerId: string;
  readonly producerEpoch: number;
}

/** Ours has ended, or the broker does not know where it stands: no answer to a repeat would mean anything. */
const FENCED = new Set([
  'INVALID_PRODUCER_EPOCH',
  'PRODUCER_FENCED',
  'INVALID_PRODUCER_ID_MAPPING',
  'UNKNOWN_PRODUCER_ID',
  'INVALID_TXN_STATE',
  'OUT_OF_ORDER_SEQUENCE_NUMBER',
  'TRANSACTION_COORDINATOR_FENCED',
]);
/** Passes in milliseconds: the transaction before is being ended. */
const SOON = 'CONCURRENT_TRANSACTIONS';
/** Not retriable by Kafka's table, and yet no verdict. */
const PASSING = new Set(['UNKNOWN', 'BROKER_NOT_AVAILABLE']);
const DUPLICATE = 'DUPLICATE_SEQUENCE_NUMBER';
const MISSING = 'UNKNOWN_TOPIC_OR_PARTITION';
const NOT_ATTEMPTED = 'OPERATION_NOT_ATTEMPTED';
/** How often a missing partition is looked for, before whoever planned the transaction has to see to it. */
const LOOKS = 8;
const MAX_SEQUENCE = 2_147_483_648;

/**
 * The transactions of one id, by the requests of kafkajs and the record codec of this room. Every request may be repeated: what is
 * added twice is there once, a batch keeps its sequence number, and the end of a transaction that has ended so is a success.
 */
export class KafkajsTransactor implements DriverTransactor {
  private owner: Owner | undefined;
  private readonly sequences = new Map<string, number>();
  private readonly encoder = new RecordEncoder();
  private readonly alarm = new Alarm();
  /** Of the transactions, and of the group that positions are committed for. */
  private readonly coordinators = new Map<'transactions' | 'group', KafkajsConnection>();
  private closed = false;

  constructor(
    private readonly cluster: KafkajsCluster,
    private readonly id: string,
    private readonly timeout: number,
    private readonly lane: string,
  ) {}

  async begin(): Promise<void> {
    const request = { transactionalId: this.id, transactionTimeout: this.timeout };
    const answer = await this.insist(async () => {
      const told = await this.ask<{ errorCode: number; producerId: string; producerEpoch: number }>(
        'InitProducerId',
        request,
      );
      throwOnCode(told.errorCode, `taking over the transactional id ${this.id}`);
      return told;
    });
    // Numbers are counted anew in each epoch.
    this.sequences.clear();
    this.owner = { transactionalId: this.id, producerId: answer.producerId, producerEpoch: answer.producerEpoch };
  }

  async commit({ group, position, batches }: Transaction): Promise<void> {
    const { owner } = this;
    if (owner === undefined) throw new FencedError('INVALID_TXN_STATE', `${this.id} was not taken over`);
    let opened = false;
    try {
      if (batches.length > 0) await this.addPartitions(owner, batches);
      opened = batches.length > 0;
      await this.produce(owner, batches);
      await this.insist(async () => {
        const answer = await this.ask<{ errorCode: number }>('AddOffsetsToTxn', { ...owner, groupId: group });
        throwOnCode(answer.errorCode, `adding the position of ${group} to a transaction`);
      });
      opened = true;
      await this.addPosition(owner, group, position);
    } catch (error) {
      if (opened && !this.closed && !(error instanceof FencedError)) await this.end(owner, false);
      throw error;
    }
    await this.end(owner, true);
  }

  close(): void {
    this.closed = true;
    this.alarm.wake();
  }

  private async addPartitions(owner: Owner, batches: readonly ProducerBatch[]): Promise<void> {
    const partitions = new Map<string, Set<number>>();
    for (const { topic, partition } of batches)
      partitions.set(topic, (partitions.get(topic) ?? new Set()).add(partition));
    const topics = [...partitions].map(([topic, ofTopic]) => ({ topic, partitions: [...ofTopic] }));
    await this.insist(async () => {
      const answer = await this.ask<{
        errors: { topic: string; partitionErrors: { partition: number; errorCode: number }[] }[];
      }>('AddPartitionsToTxn', { ...owner, topics });
      const errors = answer.errors.flatMap(({ topic, partitionErrors }) =>
        partitionErrors.map(({ partition, errorCode }) => errorOfCode(errorCode, `adding ${topic}/${partition}`)),
      );
      // One that is refused keeps all others from being tried.
      const error = errors.find((one) => one !== undefined && one.type !== NOT_ATTEMPTED) ?? errors.find(Boolean);
      if (error !== undefined) throw error;
    });
  }

  /** Batches of a partition one after the other, those of different partitions together. */
  private async produce(owner: Owner, batches: readonly ProducerBatch[]): Promise<void> {
    const queues = new Map<string, ProducerBatch[]>();
    for (const batch of batches) {
      const queue = queues.get(keyOf(batch));
      if (queue === undefined) queues.set(keyOf(batch), [batch]);
      else queue.push(batch);
    }
    while (queues.size > 0)
      await this.insist(async () => {
        const failures = await this.produceFirst(owner, queues);
        const [worst] = failures.filter((error) => !isRetriable(error) && isAnswer(error));
        const failure = worst ?? failures[0];
        if (failure !== undefined) throw failure;
      });
  }

  private async produceFirst(owner: Owner, queues: Map<string, ProducerBatch[]>): Promise<DriverError[]> {
    const layouts = await this.cluster.layout([...new Set([...queues.values()].map(([first]) => first?.topic ?? ''))]);
    const requests = new Map<number, ProducerBatch[]>();
    for (const [first] of queues.values()) {
      if (first === undefined) continue;
      const layout = layouts.get(first.topic);
      if (layout === undefined) throw new DriverError(MISSING, `topic ${first.topic} is missing`);
      const leader = layout.leaders[first.partition] ?? -1;
      requests.set(leader, [...(requests.get(leader) ?? []), first]);
    }
    const sends = [...requests].map(([leader, firsts]) => this.produceTo(owner, leader, firsts, queues));
    return (await Promise.all(sends)).flat();
  }

  private async produceTo(
    owner: Owner,
    leader: number,
    batches: readonly ProducerBatch[],
    queues: Map<string, ProducerBatch[]>,
  ): Promise<DriverError[]> {
    const failures: DriverError[] = [];
    let codes: ReadonlyMap<string, number>;
    try {
      const connection = await this.cluster.node(leader, this.lane);
      const stamped = batches.map((batch) => ({ batch, identity: this.identityOf(owner, batch) }));
      const body = encodeProduce(this.encoder, this.id, stamped);
      codes = await connection.exchange('Produce', body, decodeProduceAnswer, PRODUCE_TIMEOUT);
    } catch (thrown) {
      for (const { topic } of batches) this.cluster.invalidate(topic);
      return [asDriverError(thrown)];
    }
    for (const batch of batches) {
      const key = keyOf(batch);
      const error = errorOfCode(codes.get(key) ?? -1, `storing into ${key}`);
      if (error === undefined || error.type === DUPLICATE) {
        this.sequences.set(key, ((this.sequences.get(key) ?? 0) + batch.records.length) % MAX_SEQUENCE);
        const queue = queues.get(key) ?? [];
        queue.shift();
        if (queue.length === 0) queues.delete(key);
      } else {
        this.cluster.invalidate(batch.topic);
        failures.push(error);
      }
    }
    return failures;
  }

  private identityOf(
    owner: Owner,
    batch: ProducerBatch,
  ): { producerId: bigint; producerEpoch: number; firstSequence: number } {
    const firstSequence = this.sequences.get(keyOf(batch)) ?? 0;
    return { producerId: BigInt(owner.producerId), producerEpoch: owner.producerEpoch, firstSequence };
  }

  private async addPosition(owner: Owner, group: string, position: Transaction['position']): Promise<void> {
    const { topic, partition, offset, metadata } = position;
    const topics = [{ topic, partitions: [{ partition, offset: String(offset), metadata }] }];
    await this.insist(async () => {
      const connection = await this.coordinator('group', () => this.cluster.coordinator(group, this.lane));
      const answer = await connection.call<{ topics: { partitions: { errorCode: number }[] }[] }>('TxnOffsetCommit', {
        ...owner,
        groupId: group,
        topics,
      });
      for (const { errorCode } of answer.topics.flatMap((one) => one.partitions))
        throwOnCode(errorCode, `committing ${topic}/${partition} in a transaction`);
    });
  }

  private async end(owner: Owner, transactionResult: boolean): Promise<void> {
    await this.insist(async () => {
      const answer = await this.ask<{ errorCode: number }>('EndTxn', { ...owner, transactionResult });
      throwOnCode(answer.errorCode, `ending a transaction of ${this.id}`);
    });
  }

  private async ask<Answer>(api: ApiName, request: object): Promise<Answer> {
    const open = (): Promise<KafkajsConnection> => this.cluster.transactionCoordinator(this.id, this.lane);
    const connection = await this.coordinator('transactions', open);
    return connection.call<Answer>(api, request);
  }

  private async coordinator(
    of: 'transactions' | 'group',
    open: () => Promise<KafkajsConnection>,
  ): Promise<KafkajsConnection> {
    const known = this.coordinators.get(of);
    if (known?.usable === true) return known;
    const connection = await open();
    this.coordinators.set(of, connection);
    return connection;
  }

  /** Until it is done, refused, or of no use any more. */
  private async insist<T>(attempt: () => Promise<T>): Promise<T> {
    for (let failures = 1; ; failures++) {
      if (this.closed) throw new DriverError('CONNECTION_CLOSED', `${this.id} is given up`);
      try {
        return await attempt();
      } catch (thrown) {
        const error = asDriverError(thrown);
        if (FENCED.has(error.type) || error.type.startsWith('CODE_'))
          throw new FencedError(error.type, error.message, { cause: error });
        const refused = isAnswer(error) && !isRetriable(error) && !PASSING.has(error.type);
        if (refused || (error.type === MISSING && failures >= LOOKS)) throw error;
        // It may have moved.
        if (error.type !== SOON) this.coordinators.clear();
        await this.alarm.sleep(error.type === SOON ? backoff(failures, 4, 50) : backoff(failures, 20, 1_000));
      }
    }
  }
}

function keyOf({ topic, partition }: ProducerBatch): string {
  return `${topic}/${partition}`;
}
