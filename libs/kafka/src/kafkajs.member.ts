import { Alarm, backoff, settledWithin } from 'nestjs-eventing';
import { byTopic } from './by.topic.js';
import { assignHeeding } from './heeding.assigner.js';
import {
  DriverError,
  StaleMemberError,
  sourceName,
  type CommittedPosition,
  type DriverMember,
  type MemberListener,
  type MemberOptions,
  type StablePositions,
  type TopicPartition,
} from './kafka.driver.js';
import type { ResolvedKafkaOptions } from './kafka.options.js';
import type { KafkajsCluster } from './kafkajs.cluster.js';
import { asDriverError, errorOfCode, throwOnCode } from './kafkajs.codes.js';
import type { KafkajsConnection } from './kafkajs.connection.js';
import {
  ASSIGNER_NAME,
  PROTOCOL_TYPE,
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from './kafkajs.membership.js';
import { readPositions } from './kafkajs.positions.js';

interface JoinAnswer {
  readonly errorCode: number;
  readonly generationId: number;
  readonly leaderId: string;
  readonly memberId: string;
  readonly members: readonly { readonly memberId: string; readonly memberMetadata: Buffer }[];
}

const MEMBER_ID_REQUIRED = 79;
const LEAVE_TIMEOUT = 2_000;
/** Before joining again, lest two members of different minds keep a processor busy. */
const STALE_PAUSE = 10;

/**
 * A member of a group, with kafkajs's codecs and without its consumer. That one follows a rebalance at once and from inside its
 * fetch loop, so that nothing can be put in order before partitions move; and everything moves at each rebalance. Here joining,
 * heartbeats and letting go are one loop beside the reading, and partitions that stay are not touched.
 */
export class KafkajsMember implements DriverMember {
  private memberId = '';
  private generation = -1;
  private owned: TopicPartition[] = [];
  private connection: KafkajsConnection | undefined;
  private readonly alarm = new Alarm();
  private running: Promise<void> | undefined;
  private stopped = false;
  /** While joining, the connection is busy, and the generation is about to end. */
  private joined = false;
  private rejoin = false;
  private lastHeard = 0;
  /** Partitions of the topics at the last assignment by this member; only the leader watches for new ones. */
  private watched: ReadonlyMap<string, number> | undefined;

  constructor(
    private readonly cluster: KafkajsCluster,
    private readonly options: ResolvedKafkaOptions,
    private readonly membership: MemberOptions,
    private readonly listener: MemberListener,
    private readonly lane: string,
  ) {}

  start(): void {
    this.running ??= this.run();
  }

  async commit(positions: readonly CommittedPosition[]): Promise<void> {
    const { memberId, generation } = this;
    if (memberId === '' || generation < 0) {
      throw new StaleMemberError('REBALANCE_IN_PROGRESS', `${this.membership.group} is being joined`);
    }
    // A join may take as long as a dead member's session, and until it is answered the broker takes positions of the
    // generation before. The usual connection is busy with the join.
    const connection =
      this.joined && this.connection !== undefined ? this.connection : await this.connect(`${this.lane}/commit`);
    const topics = byTopic(positions, ({ partition, offset, metadata }) => ({
      partition,
      offset: String(offset),
      metadata,
    }));
    const answer = await connection.call<{
      responses: { topic: string; partitions: { partition: number; errorCode: number }[] }[];
    }>('OffsetCommit', { groupId: this.membership.group, groupGenerationId: generation, memberId, topics });
    for (const { topic, partitions } of answer.responses) {
      for (const { partition, errorCode } of partitions) throwOnCode(errorCode, `committing ${topic}/${partition}`);
    }
  }

  positions(partitions: readonly TopicPartition[]): Promise<StablePositions> {
    const { connection, lane } = this;
    // Not the usual connection itself: an answer that waits there would keep heartbeats waiting.
    const beside = (): Promise<KafkajsConnection> =>
      connection === undefined
        ? Promise.reject(new StaleMemberError('UNKNOWN_MEMBER_ID', `${this.membership.group} was not joined`))
        : this.cluster.beside(connection, `${lane}/positions`);
    return readPositions(beside, this.membership.group, partitions, this.options.requestTimeout);
  }

  surrender(sources: readonly TopicPartition[]): void {
    const names = new Set(sources.map(sourceName));
    this.owned = this.owned.filter((source) => !names.has(sourceName(source)));
    this.rejoin = true;
    this.alarm.wake();
  }

  async leave(): Promise<void> {
    this.stopped = true;
    this.alarm.wake();
    const { memberId, connection } = this;
    if (memberId !== '') {
      const { group } = this.membership;
      // The usual connection is busy for as long as a join is open on it.
      const free =
        this.joined && connection?.usable === true ? Promise.resolve(connection) : this.connect(`${this.lane}/leave`);
      const leaving = free.then((open) => open.call('LeaveGroup', { groupId: group, memberId }));
      await settledWithin(leaving, LEAVE_TIMEOUT);
    }
    this.joined = false;
    this.cluster.release(this.lane);
    if (this.running !== undefined) await settledWithin(this.running, LEAVE_TIMEOUT);
  }

  private async run(): Promise<void> {
    for (let failures = 0; !this.stopped;) {
      try {
        await this.listener.beforeJoin();
        if (this.stopped) return;
        this.connection = await this.connect(this.lane);
        const assigned = await this.joinAndSync(this.connection);
        failures = 0;
        await this.adopt(assigned);
        if (!this.rejoin) this.listener.joined();
        await this.stay();
      } catch (thrown) {
        if (this.stopped) return;
        const error = asDriverError(thrown);
        this.joined = false;
        if (error instanceof StaleMemberError) {
          this.forget(error);
          await this.alarm.sleep(STALE_PAUSE);
          continue;
        }
        if (failures++ === 0) this.listener.failed(error);
        if (this.lapsed()) this.loseAll();
        await this.alarm.sleep(backoff(failures, 50, 2_000));
      }
    }
  }

  private connect(lane: string): Promise<KafkajsConnection> {
    return this.cluster.coordinator(this.membership.group, lane);
  }

  private async joinAndSync(connection: KafkajsConnection): Promise<TopicPartition[]> {
    const { group, topics, rebalanceTimeout } = this.membership;
    this.joined = false;
    this.rejoin = false;
    const join = (): Promise<JoinAnswer> =>
      connection.call<JoinAnswer>('JoinGroup', {
        groupId: group,
        sessionTimeout: this.options.sessionTimeout,
        rebalanceTimeout,
        memberId: this.memberId,
        protocolType: PROTOCOL_TYPE,
        groupProtocols: [{ name: ASSIGNER_NAME, metadata: encodeSubscription(topics, this.owned, this.generation) }],
      });
    let answer = await join();
    if (answer.errorCode === MEMBER_ID_REQUIRED) {
      this.memberId = answer.memberId;
      answer = await join();
    }
    throwOnCode(answer.errorCode, `joining group ${group}`);
    this.memberId = answer.memberId;
    const generationId = answer.generationId;
    const leads = answer.leaderId === answer.memberId;
    const groupAssignment = leads ? await this.assign(answer) : [];
    if (!leads) this.watched = undefined;
    const sync = await connection.call<{ errorCode: number; memberAssignment: Buffer | null }>('SyncGroup', {
      groupId: group,
      generationId,
      memberId: this.memberId,
      groupAssignment,
    });
    throwOnCode(sync.errorCode, `joining group ${group}`);
    this.generation = generationId;
    this.joined = true;
    this.lastHeard = Date.now();
    return decodeAssignment(sync.memberAssignment);
  }

  /** The leader's part. */
  private async assign(answer: JoinAnswer): Promise<{ memberId: string; memberAssignment: Buffer }[]> {
    const members = answer.members.map(({ memberId, memberMetadata }) => decodeSubscription(memberId, memberMetadata));
    const topics = [...new Set(members.flatMap((member) => member.topics))];
    const counts = await this.countPartitions(topics);
    this.watched = counts;
    return [...assignHeeding(members, counts)].map(([memberId, sources]) => ({
      memberId,
      memberAssignment: encodeAssignment(sources),
    }));
  }

  private async countPartitions(topics: readonly string[]): Promise<Map<string, number>> {
    const layouts = await this.cluster.layout(topics, true);
    return new Map([...layouts].map(([topic, { leaders }]) => [topic, leaders.length]));
  }

  /** Takes over what is new and lets go of what moves; both with heartbeats going on. */
  private async adopt(assigned: readonly TopicPartition[]): Promise<void> {
    const names = new Set(assigned.map(sourceName));
    const before = new Set(this.owned.map(sourceName));
    const moving = this.owned.filter((source) => !names.has(sourceName(source)));
    const gained = assigned.filter((source) => !before.has(sourceName(source)));
    if (gained.length > 0) {
      this.owned = [...this.owned, ...gained];
      try {
        await this.withHeartbeats(this.listener.gained(gained));
      } catch (error) {
        this.owned = this.owned.filter((source) => !gained.includes(source));
        this.listener.lost(gained);
        throw error;
      }
    }
    if (moving.length > 0) {
      await this.withHeartbeats(this.listener.revoked(moving));
      this.owned = this.owned.filter((source) => names.has(sourceName(source)));
      // Only now may the next member have them, and it gets them in the round that this starts.
      this.rejoin = true;
    }
  }

  private async withHeartbeats(work: Promise<void>): Promise<void> {
    let done = false;
    const finished = work.finally(() => {
      done = true;
    });
    while (!done && !(await settledWithin(finished, this.options.heartbeatInterval))) {
      // A rebalance that waits for us goes on waiting; being thrown out ends the work's purpose, not the work.
      await this.heartbeat().catch((error: unknown) => {
        if (error instanceof StaleMemberError && error.type !== 'REBALANCE_IN_PROGRESS') throw error;
        this.rejoin = true;
      });
    }
    await finished;
  }

  /** Until the group rebalances or leaves us behind. */
  private async stay(): Promise<void> {
    let looked = Date.now();
    while (!this.rejoin && !this.stopped) {
      await this.alarm.sleep(this.options.heartbeatInterval);
      if (this.stopped) return;
      await this.heartbeat();
      if (this.watched !== undefined && Date.now() - looked >= this.options.metadataMaxAge) {
        looked = Date.now();
        const now = await this.countPartitions([...this.watched.keys()]);
        for (const [topic, count] of now) if (this.watched.get(topic) !== count) this.rejoin = true;
      }
    }
  }

  private async heartbeat(): Promise<void> {
    if (this.connection?.usable !== true) this.connection = await this.connect(this.lane);
    const answer = await this.connection.call<{ errorCode: number }>('Heartbeat', {
      groupId: this.membership.group,
      groupGenerationId: this.generation,
      memberId: this.memberId,
    });
    const error = errorOfCode(answer.errorCode, `heartbeat of group ${this.membership.group}`);
    if (error === undefined || error.type === 'REBALANCE_IN_PROGRESS') this.lastHeard = Date.now();
    if (error !== undefined) throw error;
  }

  /** The group goes on: either it waits for us to join again, or it gave our partitions away. */
  private forget(error: DriverError): void {
    if (error.type === 'REBALANCE_IN_PROGRESS') return;
    if (error.type === 'UNKNOWN_MEMBER_ID') this.memberId = '';
    this.generation = -1;
    this.loseAll();
  }

  private lapsed(): boolean {
    return Date.now() - this.lastHeard > this.options.sessionTimeout;
  }

  private loseAll(): void {
    if (this.owned.length === 0) return;
    const { owned } = this;
    this.owned = [];
    this.listener.lost(owned);
  }
}
