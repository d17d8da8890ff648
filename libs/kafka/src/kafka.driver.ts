import type { RawHeaders } from 'nestjs-eventing';

/**
 * What this room asks of a Kafka client. Everything above it (queueing, windows, positions, retry and dead letters) is
 * independent of the library; everything below is replaceable. Offsets are numbers: a log reaches 2^53 in no one's life.
 */
export interface KafkaDriver {
  /** Reaches one of the brokers. Rejects with the cause (a `DriverError` where it is known); the caller tries again. */
  connect(): Promise<void>;
  /** Topics that exist; others are left out. `fresh`: asks the broker even where the answer is known. */
  layout(topics: readonly string[], fresh?: boolean): Promise<ReadonlyMap<string, TopicLayout>>;
  /** Topics that exist already are passed over. */
  createTopics(plans: readonly TopicPlan[]): Promise<void>;
  /** Where partitions begin, end, or hold the first record of a time (their end where there is none). */
  offsets(topic: string, partitions: readonly number[], at: OffsetQuery): Promise<ReadonlyMap<number, number>>;
  /**
   * Positions of a group, once no transaction over them is being ended: waits for some seconds for that. Whoever answers may have lost the
   * group to another broker without knowing it yet; a member asks better.
   */
  positions(group: string, partitions: readonly TopicPartition[]): Promise<StablePositions>;
  /** Drops a group and its positions, if nobody is a member of it. */
  forgetGroup(group: string): Promise<void>;
  /** Reads once, without any group. Waits for at most `wait` milliseconds for something to read. */
  read(source: TopicPartition, offset: number, maxBytes: number, wait: number): Promise<FetchedRecords>;
  producer(): DriverProducer;
  /** Transactions under ids that are its users' to choose; each has one owner at a time, in the whole cluster. */
  transactors(options: TransactorOptions): MakeTransactor;
  reader(listener: ReaderListener): DriverReader;
  member(options: MemberOptions, listener: MemberListener): DriverMember;
  /** Closes every connection; what is open rejects. Never rejects. */
  close(): Promise<void>;
}

export interface TopicPartition {
  readonly topic: string;
  readonly partition: number;
}

export interface TopicLayout {
  readonly topic: string;
  /** The leader's node by partition; -1 while there is none. */
  readonly leaders: readonly number[];
}

export interface TopicPlan {
  readonly topic: string;
  readonly partitions: number;
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string>>;
}

/** A time is in milliseconds since 1970. `stable`: the end of what is committed, before the first transaction that is open. */
export type OffsetQuery = 'earliest' | 'latest' | 'stable' | { readonly time: number };

export interface CommittedPosition extends TopicPartition {
  readonly offset: number;
  /** Whatever was written with it. Hostile: anyone who may commit may write anything. */
  readonly metadata: string;
}

export interface StablePositions {
  /** Partitions without one are left out. */
  readonly positions: readonly CommittedPosition[];
  /** A transaction that is not ended may change these. */
  readonly unstable: readonly TopicPartition[];
}

export interface OutgoingRecord {
  readonly key: string | Uint8Array | undefined;
  /** `null` is a tombstone. */
  readonly value: Uint8Array | null;
  readonly headers: RawHeaders;
  /** Milliseconds since 1970. */
  readonly time: number;
}

/** Bytes are views into the answer they came in. */
export interface IncomingRecord {
  readonly offset: number;
  readonly time: number;
  readonly key: Uint8Array | null;
  readonly value: Uint8Array | null;
  /** Of headers with one name, the last. */
  readonly headers: Readonly<Record<string, Uint8Array>>;
}

export interface FetchedRecords {
  readonly records: readonly IncomingRecord[];
  /** Where the next read begins; beyond the last record where the log has gaps or transaction markers. */
  readonly nextOffset: number;
  /** End of what may be read now. */
  readonly endOffset: number;
}

/** Records of one partition that are stored together or not at all. Its identity is what makes a repeat harmless. */
export interface ProducerBatch extends TopicPartition {
  readonly records: readonly OutgoingRecord[];
}

export type BatchOutcome =
  | { readonly kind: 'stored' }
  /** Send the same batch again, after a pause. `mayBeStored`: nobody knows whether it was stored this time. */
  | { readonly kind: 'again'; readonly mayBeStored: boolean; readonly error: Error }
  /** Certainly not stored, and sending it again does not help. `divisible`: a part of its records may be at fault. */
  | { readonly kind: 'refused'; readonly divisible: boolean; readonly error: Error };

/**
 * An idempotent producer. A batch whose outcome was `again` may be sent again, the very same object, and is then stored
 * once. One batch of a partition at a time; different partitions side by side.
 */
export interface DriverProducer {
  /** All batches are led by `leader`. Never rejects; outcomes in the order of the batches. */
  send(leader: number, batches: readonly ProducerBatch[]): Promise<readonly BatchOutcome[]>;
  /** This batch, whose outcome is unknown, will not be sent again. */
  abandon(batch: ProducerBatch): void;
}

export interface TransactorOptions {
  /** Milliseconds after which the broker aborts a transaction whose owner has fallen silent. */
  readonly timeout: number;
  /** Milliseconds for which a request that fails is repeated before its transaction is given up; below `timeout`. */
  readonly patience: number;
}

/** @param hindered told, once for each request, what brokers have refused for some seconds and is still tried */
export type MakeTransactor = (id: string, hindered: (error: Error) => void) => DriverTransactor;

/** What is committed together. */
export interface Transaction {
  readonly group: string;
  readonly position: CommittedPosition;
  /** In order within each partition; one partition may have several. */
  readonly batches: readonly ProducerBatch[];
}

/** The transactions of one id, one after the other. */
export interface DriverTransactor {
  /**
   * Takes the id over: whoever had it can commit nothing any more, and what that left open has ended when this resolves. Positions must
   * be read after that.
   */
  begin(): Promise<void>;
  /**
   * Resolves when all of it is committed. Rejects with a `FencedError` where another has taken the id over, the broker has given up on us,
   * or nobody knows what of it was stored: only `begin` leads on from there, and what was committed is told by the position. With another
   * error where the broker refused something, or has not taken it for as long as `patience`: then nothing of it will ever be seen, and the
   * next may follow.
   */
  commit(transaction: Transaction): Promise<void>;
  /**
   * What is under way rejects, and is ended by the next owner or by its timeout. Connections that no transactor uses any more are closed.
   * Idempotent.
   */
  close(): void;
}

/** Reads partitions on and on, each from its own place. */
export interface DriverReader {
  add(source: TopicPartition, offset: number): void;
  remove(source: TopicPartition): void;
  /** Nothing more is read of it; what is on its way may still arrive once. */
  pause(source: TopicPartition): void;
  resume(source: TopicPartition): void;
  close(): void;
}

export interface ReaderListener {
  /** Returns at once. Nothing arrives for a partition after `remove`. */
  records(source: TopicPartition, fetched: FetchedRecords): void;
  /**
   * Nothing was found to read on. @param isBare and there is nothing before `endOffset`: the broker had room for it, and waited in vain
   */
  idle(source: TopicPartition, fetched: FetchedRecords, isBare: boolean): void;
  /** The place does not exist. Resolves to where reading goes on. */
  outOfRange(source: TopicPartition, offset: number): Promise<number>;
  /** Reading this partition fails; it is tried again. Told once until it works. */
  failed(source: TopicPartition, error: Error): void;
}

export interface MemberOptions {
  readonly group: string;
  readonly topics: readonly string[];
  /** Milliseconds a rebalance waits for a member that is still letting go. */
  readonly rebalanceTimeout: number;
}

/**
 * One member of a group, which joins, shows that it is alive, and joins again for as long as it takes. Partitions that
 * stay with it are not touched by a rebalance.
 */
export interface DriverMember {
  /** Begins; the listener hears the rest. */
  start(): void;
  /** Commits as this member. Rejects with `StaleMemberError` when the partitions may belong to another by now. */
  commit(positions: readonly CommittedPosition[]): Promise<void>;
  /**
   * Positions of the group, told by the broker that let this member in: it could not have done that if the group were another's by then,
   * while one that was suspended, or is busy, answers from what it remembers.
   */
  positions(partitions: readonly TopicPartition[]): Promise<StablePositions>;
  /** Lets go of partitions whose state was lost, and joins again to get them, or not, as if for the first time. */
  surrender(sources: readonly TopicPartition[]): void;
  /** Leaves the group, so that others take over at once. Bounded in time; never rejects. */
  leave(): Promise<void>;
}

export interface MemberListener {
  /** Before each joining: topics may be created here. A rejection delays the joining. */
  beforeJoin(): Promise<void>;
  /** These are ours from now on. Awaited; a rejection lets go of them and joins again. */
  gained(sources: readonly TopicPartition[]): Promise<void>;
  /** These go to another member, which does not begin before this resolves. Heartbeats go on meanwhile. */
  revoked(sources: readonly TopicPartition[]): Promise<void>;
  /** These may belong to another member already. */
  lost(sources: readonly TopicPartition[]): void;
  /** Joined, and everything gained was taken over. */
  joined(): void;
  failed(error: Error): void;
}

/** An error with Kafka's own code. */
export class DriverError extends Error {
  override readonly name: string = 'DriverError';
  constructor(
    readonly type: string,
    message: string,
    options: ErrorOptions = {},
  ) {
    super(message, options);
  }
}

/** The transactional id is another's, or has to be taken over anew. */
export class FencedError extends DriverError {
  override readonly name = 'FencedError';
}

/** The group has gone on without this member. */
export class StaleMemberError extends DriverError {
  override readonly name = 'StaleMemberError';
}

/** `orders/3`: what the port calls a source. */
export function sourceName(source: TopicPartition): string {
  return `${source.topic}/${source.partition}`;
}
