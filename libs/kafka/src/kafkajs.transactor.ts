import {
  DriverError,
  FencedError,
  type DriverTransactor,
  type ProducerBatch,
  type Transaction,
} from './kafka.driver.js';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { asDriverError, errorOfCode, isAnswer, throwOnCode } from './kafkajs.codes.js';
import type { ApiName, KafkajsConnection } from './kafkajs.connection.js';
import { Insistence, type Hindered, type InsistenceOptions } from './kafkajs.insistence.js';
import { KafkajsOutputs, queuesOf, type Owner } from './kafkajs.outputs.js';
import { decodeRenewal, encodeRenewal, type ProducerIdentity } from './kafkajs.renewal.js';

export interface TransactorSettings extends InsistenceOptions {
  /** Milliseconds after which the broker aborts a transaction. */
  readonly timeout: number;
  /** Of connections. */
  readonly lane: string;
}

const NOT_ATTEMPTED = 'OPERATION_NOT_ATTEMPTED';
/** Milliseconds. */
const RENEWAL_TIMEOUT = 30_000;

/**
 * The transactions of one id, by the requests of kafkajs and the record codec of this room. Every request may be repeated: what is
 * added twice is there once, a batch keeps its sequence number, and the end of a transaction that has ended so is a success.
 *
 * A request whose answer was lost may still arrive, late, and would count for the transaction that is open then. So whenever one was lost,
 * the next transaction has an epoch of its own.
 */
export class KafkajsTransactor implements DriverTransactor {
  private owner: Owner | undefined;
  private readonly insistence: Insistence;
  private readonly outputs: KafkajsOutputs;
  /** Of the transactions, and of the group that positions are committed for. */
  private readonly coordinators = new Map<'transactions' | 'group', KafkajsConnection>();
  /** A request of this epoch may still arrive. */
  private echoes = false;

  constructor(
    private readonly cluster: KafkajsCluster,
    private readonly settings: TransactorSettings,
    private readonly hindered: Hindered,
  ) {
    this.insistence = new Insistence(settings);
    this.outputs = new KafkajsOutputs(cluster, settings.lane, (answer) => this.heard(answer));
  }

  async begin(): Promise<void> {
    const { transactionalId, timeout } = this.settings;
    const request = { transactionalId, transactionTimeout: timeout };
    const answer = await this.insist(async () => {
      const told = await this.ask<ProducerIdentity & { errorCode: number }>('InitProducerId', request);
      throwOnCode(told.errorCode, `taking over the transactional id ${transactionalId}`);
      return told;
    });
    this.adopt(answer);
  }

  async commit(transaction: Transaction): Promise<void> {
    if (this.echoes) await this.renew();
    const { owner } = this;
    if (owner === undefined)
      throw new FencedError('INVALID_TXN_STATE', `${this.settings.transactionalId} was not taken over`);
    let opened = false;
    try {
      await this.open(owner, transaction, () => (opened = true));
      await together([this.store(owner, transaction.batches), this.addPosition(owner, transaction)]);
    } catch (error) {
      await this.abort(owner, opened, error as Error);
      throw error;
    }
    await this.end(owner, true);
  }

  close(): void {
    this.insistence.close();
  }

  private adopt({ producerId, producerEpoch }: ProducerIdentity): void {
    this.outputs.begin();
    this.echoes = false;
    this.owner = { transactionalId: this.settings.transactionalId, producerId, producerEpoch };
  }

  /** The next epoch, unless another has the id by now. No transaction of ours is open, so that nothing is in doubt after it. */
  private async renew(): Promise<void> {
    const { owner } = this;
    if (owner === undefined) return;
    const { transactionalId, timeout } = this.settings;
    const body = encodeRenewal(transactionalId, timeout, owner);
    const decode = (answer: Buffer): Promise<ProducerIdentity> => decodeRenewal(answer, transactionalId);
    const renewed = await this.insist(async () => {
      const connection = await this.coordinator('transactions');
      return connection.exchange('InitProducerId', body, decode, RENEWAL_TIMEOUT);
    });
    this.adopt(renewed);
  }

  /** Names what the transaction is over. Both requests go to one broker, which answers them in their order. */
  private async open(owner: Owner, { group, batches }: Transaction, opened: () => void): Promise<void> {
    const adding = batches.length > 0 ? this.addPartitions(owner, batches).then(opened) : undefined;
    const offsets = this.insist(async () => {
      const answer = await this.ask<{ errorCode: number }>('AddOffsetsToTxn', { ...owner, groupId: group });
      throwOnCode(answer.errorCode, `adding the position of ${group} to a transaction`);
    }).then(opened);
    await together([adding, offsets]);
  }

  /**
   * Makes sure that nothing of a transaction that failed is ever committed. Throws where only the id's next owner can: the next one would
   * count its batches on from a number that the broker may not have reached.
   */
  private async abort(owner: Owner, opened: boolean, cause: Error): Promise<void> {
    if (this.insistence.isClosed || cause instanceof FencedError) return;
    const { unsure } = this.outputs;
    if (unsure.length > 0) {
      const message = `it is not known whether ${unsure.join(', ')} took outputs: ${cause.message}`;
      throw new FencedError('UNKNOWN_OUTCOME', message, { cause });
    }
    if (opened) await this.end(owner, false);
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

  private async store(owner: Owner, batches: readonly ProducerBatch[]): Promise<void> {
    const queues = queuesOf(batches);
    while (queues.size > 0) await this.insist(() => this.outputs.produce(owner, queues));
  }

  private async addPosition(owner: Owner, { group, position }: Transaction): Promise<void> {
    const { topic, partition, offset, metadata } = position;
    const topics = [{ topic, partitions: [{ partition, offset: String(offset), metadata }] }];
    const request = { ...owner, groupId: group, topics };
    await this.insist(async () => {
      const connection = await this.coordinator('group', group);
      const answer = await this.heard(
        connection.call<{ topics: { partitions: { errorCode: number }[] }[] }>('TxnOffsetCommit', request),
      );
      for (const { errorCode } of answer.topics.flatMap((one) => one.partitions))
        throwOnCode(errorCode, `committing ${topic}/${partition} in a transaction`);
    });
  }

  /** Where it cannot be ended, how it ends is for its next owner to find out. */
  private async end(owner: Owner, transactionResult: boolean): Promise<void> {
    const what = `ending a transaction of ${owner.transactionalId}`;
    try {
      await this.insist(async () => {
        const answer = await this.ask<{ errorCode: number }>('EndTxn', { ...owner, transactionResult });
        throwOnCode(answer.errorCode, what);
      });
    } catch (error) {
      if (this.insistence.isClosed || error instanceof FencedError) throw error;
      const { type, message } = error as DriverError;
      throw new FencedError(type, message, { cause: error });
    }
  }

  private async ask<Answer>(api: ApiName, request: object): Promise<Answer> {
    const connection = await this.coordinator('transactions');
    return this.heard(connection.call<Answer>(api, request));
  }

  /** Notes where the answer to what was sent is lost. */
  private async heard<Answer>(answer: Promise<Answer>): Promise<Answer> {
    try {
      return await answer;
    } catch (error) {
      if (!isAnswer(asDriverError(error))) this.echoes = true;
      throw error;
    }
  }

  private async coordinator(of: 'transactions' | 'group', group = ''): Promise<KafkajsConnection> {
    const known = this.coordinators.get(of);
    if (known?.usable === true) return known;
    const { transactionalId, lane } = this.settings;
    const connection = await (of === 'group'
      ? this.cluster.coordinator(group, lane)
      : this.cluster.transactionCoordinator(transactionalId, lane));
    this.coordinators.set(of, connection);
    return connection;
  }

  private insist<T>(attempt: () => Promise<T>): Promise<T> {
    return this.insistence.on(attempt, this.hindered, () => this.coordinators.clear());
  }
}

/** Both have come to an end when it does: what follows a failure must not overtake the other. */
async function together(works: readonly (Promise<void> | undefined)[]): Promise<void> {
  const failures = (await Promise.allSettled(works)).flatMap((one) =>
    one.status === 'rejected' ? [one.reason as Error] : [],
  );
  const worst = failures.find((error) => error instanceof FencedError) ?? failures[0];
  if (worst !== undefined) throw worst;
}
