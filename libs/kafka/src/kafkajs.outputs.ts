import { DriverError, sourceName, type ProducerBatch } from './kafka.driver.js';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { asDriverError, errorOfCode, isAnswer, isRetriable } from './kafkajs.codes.js';
import { PRODUCE_TIMEOUT, decodeProduceAnswer, encodeProduce } from './kafkajs.produce.js';
import type { ProducerIdentity } from './kafkajs.renewal.js';
import { RecordEncoder, type BatchIdentity } from './record.encoder.js';

const DUPLICATE = 'DUPLICATE_SEQUENCE_NUMBER';
const MISSING = 'UNKNOWN_TOPIC_OR_PARTITION';
/** The leader has it, or had it when it ceased to be the leader, and does not know whether it will stay. */
const MAYBE = new Set([
  'REQUEST_TIMED_OUT',
  'NOT_ENOUGH_REPLICAS_AFTER_APPEND',
  'NOT_LEADER_FOR_PARTITION',
  'NETWORK_EXCEPTION',
  'UNKNOWN',
]);
const MAX_SEQUENCE = 2_147_483_648;

/** As requests name it. */
export interface Owner extends ProducerIdentity {
  readonly transactionalId: string;
}

/** Batches by partition, those of each in order. */
export type OutputQueues = Map<string, ProducerBatch[]>;

export function queuesOf(batches: readonly ProducerBatch[]): OutputQueues {
  const queues: OutputQueues = new Map();
  for (const batch of batches) {
    const queue = queues.get(sourceName(batch));
    if (queue === undefined) queues.set(sourceName(batch), [batch]);
    else queue.push(batch);
  }
  return queues;
}

/** Stores the batches of one transactional id's transactions, under sequence numbers of its present epoch. */
export class KafkajsOutputs {
  private readonly sequences = new Map<string, number>();
  private readonly doubtful = new Set<string>();
  private readonly encoder = new RecordEncoder();

  constructor(
    private readonly cluster: KafkajsCluster,
    /** Of connections. */
    private readonly lane: string,
    /** Notes where an answer is lost. */
    private readonly heard: <Answer>(answer: Promise<Answer>) => Promise<Answer>,
  ) {}

  /** Partitions with a batch of this epoch of which nobody knows whether it is stored. */
  get unsure(): readonly string[] {
    return [...this.doubtful];
  }

  /** A new epoch: numbers are counted anew, and nothing of the one before counts in it. */
  begin(): void {
    this.sequences.clear();
    this.doubtful.clear();
  }

  /**
   * Sends the first batch of each partition, and takes those that are stored out of the queues. Rejects with what kept one of them
   * from being stored, what is final before what may pass.
   */
  async produce(owner: Owner, queues: OutputQueues): Promise<void> {
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
    const failures = (await Promise.all(sends)).flat();
    const failure = failures.find((error) => !isRetriable(error) && isAnswer(error)) ?? failures[0];
    if (failure !== undefined) throw failure;
  }

  private async produceTo(
    owner: Owner,
    leader: number,
    batches: readonly ProducerBatch[],
    queues: OutputQueues,
  ): Promise<DriverError[]> {
    const before = new Set(this.doubtful);
    let codes: ReadonlyMap<string, number>;
    try {
      const connection = await this.cluster.node(leader, this.lane);
      const stamped = batches.map((batch) => ({ batch, identity: this.identityOf(owner, batch) }));
      const body = encodeProduce(this.encoder, owner.transactionalId, stamped);
      for (const batch of batches) this.doubtful.add(sourceName(batch));
      codes = await this.heard(connection.exchange('Produce', body, decodeProduceAnswer, PRODUCE_TIMEOUT));
    } catch (thrown) {
      for (const { topic } of batches) this.cluster.invalidate(topic);
      return [asDriverError(thrown)];
    }
    const failures: DriverError[] = [];
    for (const batch of batches) {
      const name = sourceName(batch);
      const error = errorOfCode(codes.get(name) ?? -1, `storing into ${name}`);
      if (error === undefined || error.type === DUPLICATE) {
        this.stored(batch, queues);
        continue;
      }
      // A refusal says nothing of an earlier sending that was not answered.
      if (!MAYBE.has(error.type) && !before.has(name)) this.doubtful.delete(name);
      this.cluster.invalidate(batch.topic);
      failures.push(error);
    }
    return failures;
  }

  private stored(batch: ProducerBatch, queues: OutputQueues): void {
    const name = sourceName(batch);
    this.doubtful.delete(name);
    this.sequences.set(name, ((this.sequences.get(name) ?? 0) + batch.records.length) % MAX_SEQUENCE);
    const queue = queues.get(name) ?? [];
    queue.shift();
    if (queue.length === 0) queues.delete(name);
  }

  private identityOf({ producerId, producerEpoch }: Owner, batch: ProducerBatch): BatchIdentity {
    const firstSequence = this.sequences.get(sourceName(batch)) ?? 0;
    return { producerId: BigInt(producerId), producerEpoch, firstSequence };
  }
}
