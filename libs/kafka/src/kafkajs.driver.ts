import { backoff } from 'nestjs-eventing';
import {
  DriverError,
  sourceName,
  type DriverMember,
  type DriverProducer,
  type DriverReader,
  type FetchedRecords,
  type KafkaDriver,
  type MakeTransactor,
  type MemberListener,
  type MemberOptions,
  type OffsetQuery,
  type ReaderListener,
  type StablePositions,
  type TopicLayout,
  type TopicPartition,
  type TopicPlan,
  type TransactorOptions,
} from './kafka.driver.js';
import { KafkajsCluster, type ClusterWatcher } from './kafkajs.cluster.js';
import { errorOfCode, isRetriable, throwOnCode } from './kafkajs.codes.js';
import type { ConnectionSettings, KafkajsConnection } from './kafkajs.connection.js';
import { FetchAnswerDecoder, encodeFetch } from './kafkajs.fetch.js';
import { KafkajsMember } from './kafkajs.member.js';
import { readPositions } from './kafkajs.positions.js';
import { KafkajsProducer } from './kafkajs.producer.js';
import { KafkajsReader } from './kafkajs.reader.js';
import { KafkajsTransactor } from './kafkajs.transactor.js';
import { SharedLanes } from './shared.lanes.js';

const CREATE_TIMEOUT = 15_000;
/** Somebody is in it, or it is not there. */
const KEPT = new Set(['NON_EMPTY_GROUP', 'GROUP_ID_NOT_FOUND']);
/** How often a leader is asked that is not ready, or is none; some seconds. */
const LOOKS = 12;
/** To each broker, for all transactions of a subscription. */
const TRANSACTION_CONNECTIONS = 4;
/** What a reader may see: everything, or what is committed. */
const UNCOMMITTED = 0;
const COMMITTED = 1;

/** The driver on kafkajs: its connections and codecs; see the members for why not its producer and consumer. */
export class KafkajsDriver implements KafkaDriver {
  private readonly cluster: KafkajsCluster;

  constructor(
    private readonly settings: ConnectionSettings,
    watcher: ClusterWatcher,
  ) {
    this.cluster = new KafkajsCluster(settings, watcher);
  }

  async connect(): Promise<void> {
    await this.cluster.control();
  }

  layout(topics: readonly string[], fresh?: boolean): Promise<ReadonlyMap<string, TopicLayout>> {
    return this.cluster.layout(topics, fresh);
  }

  async createTopics(plans: readonly TopicPlan[]): Promise<void> {
    if (plans.length === 0) return;
    const controller = await this.cluster.controller();
    const answer = await controller.call<{
      topicErrors: { topic: string; errorCode: number; errorMessage?: string | null }[];
    }>('CreateTopics', {
      topics: plans.map(({ topic, partitions, replicationFactor, config }) => ({
        topic,
        numPartitions: partitions,
        replicationFactor,
        configEntries: Object.entries(config).map(([name, value]) => ({ name, value })),
      })),
      validateOnly: false,
      timeout: CREATE_TIMEOUT,
    });
    for (const { topic, errorCode, errorMessage } of answer.topicErrors) {
      const error = errorOfCode(errorCode, `creating topic ${topic}`);
      if (error === undefined || error.type === 'TOPIC_ALREADY_EXISTS') continue;
      throw new DriverError(error.type, `${error.message}${errorMessage ? `: ${errorMessage}` : ''}`);
    }
  }

  async offsets(topic: string, partitions: readonly number[], at: OffsetQuery): Promise<Map<number, number>> {
    const timestamp = at === 'earliest' ? '-2' : typeof at === 'string' ? '-1' : String(at.time);
    // The end is the end of the log: a transaction still open must not be skipped by a position fixed behind it.
    const isolation = at === 'stable' ? COMMITTED : UNCOMMITTED;
    return this.ofLeaders(topic, async () => {
      const found = await this.offsetsOf(topic, partitions, timestamp, isolation);
      // No record of that time or later: whatever comes will be.
      const open = typeof at === 'object' ? partitions.filter((partition) => (found.get(partition) ?? -1) < 0) : [];
      const ends = open.length > 0 ? await this.offsetsOf(topic, open, '-1', isolation) : [];
      return new Map([...found, ...ends]);
    });
  }

  positions(group: string, partitions: readonly TopicPartition[]): Promise<StablePositions> {
    const coordinator = (): Promise<KafkajsConnection> => this.cluster.coordinator(group, 'control');
    return readPositions(coordinator, group, partitions, this.settings.options.requestTimeout);
  }

  async forgetGroup(group: string): Promise<void> {
    const coordinator = await this.cluster.coordinator(group, 'control');
    const answer = await coordinator.call<{ results: { errorCode: number }[] }>('DeleteGroups', [group]);
    for (const { errorCode } of answer.results) {
      const error = errorOfCode(errorCode, `dropping group ${group}`);
      if (error !== undefined && !KEPT.has(error.type)) throw error;
    }
  }

  read(source: TopicPartition, offset: number, maxBytes: number, wait: number): Promise<FetchedRecords> {
    const targets = [{ ...source, offset }];
    const body = encodeFetch(targets, this.settings.options, wait, maxBytes);
    const decode = (bytes: Buffer): ReturnType<FetchAnswerDecoder['decode']> =>
      new FetchAnswerDecoder().decode(bytes, targets);
    return this.ofLeaders(source.topic, async () => {
      const layout = (await this.cluster.layout([source.topic])).get(source.topic);
      const connection = await this.cluster.node(layout?.leaders[source.partition] ?? -1, 'read');
      const [partition] = await connection.exchange('Fetch', body, decode, wait + 5_000);
      if (partition === undefined) throw new DriverError('UNKNOWN', `nothing was said of ${sourceName(source)}`);
      if (partition.error !== undefined) throw partition.error;
      return partition.fetched;
    });
  }

  producer(): DriverProducer {
    return new KafkajsProducer(this.cluster, this.cluster.lane('produce'));
  }

  transactors({ timeout, patience }: TransactorOptions): MakeTransactor {
    const { cluster } = this;
    const { clock } = this.settings;
    // A broker answers the requests of one connection one by one, and waits for followers meanwhile.
    const lanes = new SharedLanes(TRANSACTION_CONNECTIONS, {
      open: () => cluster.lane('transactions'),
      release: (lane) => cluster.release(lane),
    });
    return (transactionalId, hindered) => {
      const { lane, leave } = lanes.join();
      const settings = { transactionalId, timeout, patience, clock, lane };
      const transactor = new KafkajsTransactor(cluster, settings, hindered);
      return {
        begin: () => transactor.begin(),
        commit: (transaction) => transactor.commit(transaction),
        close: () => {
          transactor.close();
          leave();
        },
      };
    };
  }

  reader(listener: ReaderListener): DriverReader {
    return new KafkajsReader(this.cluster, this.settings.options, listener, this.cluster.lane('fetch'));
  }

  member(options: MemberOptions, listener: MemberListener): DriverMember {
    return new KafkajsMember(this.cluster, this.settings.options, options, listener, this.cluster.lane('group'));
  }

  async close(): Promise<void> {
    this.cluster.close();
    return Promise.resolve();
  }

  /** Asks again while leaders move: for some seconds. */
  private async ofLeaders<T>(topic: string, ask: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await ask();
      } catch (error) {
        this.cluster.invalidate(topic);
        // A topic that was made a moment ago has a leader that does not know of it yet.
        if (attempt === LOOKS || !(error instanceof DriverError) || !isRetriable(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, backoff(attempt, 20, 500)));
      }
    }
  }

  private async offsetsOf(
    topic: string,
    partitions: readonly number[],
    timestamp: string,
    isolation: number,
  ): Promise<Map<number, number>> {
    const leaders = (await this.cluster.layout([topic])).get(topic)?.leaders ?? [];
    const byLeader = new Map<number, number[]>();
    for (const partition of partitions) {
      const leader = leaders[partition] ?? -1;
      if (leader === -1) throw new DriverError('LEADER_NOT_AVAILABLE', `${topic}/${partition} has no leader`);
      byLeader.set(leader, [...(byLeader.get(leader) ?? []), partition]);
    }
    const found = new Map<number, number>();
    for (const [leader, led] of byLeader) {
      for (const [partition, offset] of await this.listOffsets(leader, topic, led, timestamp, isolation))
        found.set(partition, offset);
    }
    return found;
  }

  private async listOffsets(
    leader: number,
    topic: string,
    partitions: readonly number[],
    timestamp: string,
    isolationLevel: number,
  ): Promise<Map<number, number>> {
    const connection = await this.cluster.node(leader, 'control');
    const answer = await connection.call<{
      responses: { partitions: { partition: number; errorCode: number; offset: string }[] }[];
    }>('ListOffsets', {
      replicaId: -1,
      isolationLevel,
      topics: [{ topic, partitions: partitions.map((partition) => ({ partition, timestamp })) }],
    });
    const found = new Map<number, number>();
    for (const { partition, errorCode, offset } of answer.responses.flatMap((response) => response.partitions)) {
      throwOnCode(errorCode, `finding a position in ${topic}/${partition}`);
      found.set(partition, Number(offset));
    }
    return found;
  }
}
