import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';

/** How the client proves who it is. Passed through to kafkajs; nothing of it is ever logged. */
export type KafkaSasl =
  | {
      readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
      readonly username: string;
      readonly password: string;
    }
  | { readonly mechanism: 'oauthbearer'; readonly oauthBearerProvider: () => Promise<{ readonly value: string }> }
  | {
      readonly mechanism: 'aws';
      readonly authorizationIdentity: string;
      readonly accessKeyId: string;
      readonly secretAccessKey: string;
      readonly sessionToken?: string;
    };

export interface SocketTarget {
  readonly host: string;
  readonly port: number;
  /** Present where TLS is to be spoken. */
  readonly ssl: ConnectionOptions | undefined;
}

/** Options of `kafka()`. Times in milliseconds, sizes in bytes. */
export interface KafkaOptions {
  /** Addresses to start from, `host:port`; the rest of the cluster is learned from the first that answers. */
  readonly brokers: readonly string[];
  /** Shown in the broker's logs and quotas. @default the name of the service */
  readonly clientId?: string;
  /** `true`, or options of Node's `tls.connect`. @default false */
  readonly ssl?: boolean | ConnectionOptions;
  /** @default none */
  readonly sasl?: KafkaSasl;

  /** Opens the sockets: through a proxy, say. @default `net.connect`, or `tls.connect` with `ssl` */
  readonly openSocket?: (target: SocketTarget) => Socket;

  /** Partitions of a channel that this provider creates. @default 6 */
  readonly partitions?: number;
  /** Partitions of the retry topic that this provider creates. @default 3 */
  readonly retryPartitions?: number;
  /** Copies of a topic that this provider creates; -1 is the broker's default. @default -1 */
  readonly replicationFactor?: number;
  /** Settings of channels that this provider creates, e.g. `{ 'retention.ms': '86400000' }`. @default none */
  readonly topicConfig?: Readonly<Record<string, string>>;
  /** How long the retry topic keeps a message; no deferral may be longer. @default 14 days */
  readonly retryRetention?: number;

  /** What the brokers accept as one message (their `message.max.bytes`). @default 1_048_576 */
  readonly maxMessageBytes?: number;
  /** Greatest size of what is sent at once to one partition. @default 524_288 */
  readonly batchBytes?: number;

  /** Time without a heartbeat after which the group gives a member's partitions away. @default 30_000 */
  readonly sessionTimeout?: number;
  /** How often a member shows that it is alive, and so how quickly it hears of a rebalance. @default 1_000 */
  readonly heartbeatInterval?: number;
  /** How long settled messages wait for being committed together. @default 200 */
  readonly commitInterval?: number;
  /** Accepted messages after which a commit does not wait for the interval. @default 5_000 */
  readonly commitThreshold?: number;

  /** Greatest answer for one partition; a larger single message is still read. @default 1_048_576 */
  readonly fetchBytesPerPartition?: number;
  /** Greatest answer of one broker. @default 10_485_760 */
  readonly fetchBytes?: number;
  /** How long the broker holds a fetch back while there is nothing to read. @default 500 */
  readonly fetchWait?: number;
  /** Also hands over messages of transactions that are open or were aborted. @default false */
  readonly readUncommitted?: boolean;

  /**
   * Listeners may ask for `guarantee: 'exactly-once'`: what they send, their dead letters and their positions are committed together. The
   * brokers must let this user use transactional ids that begin with the name of the service. @default false
   */
  readonly transactions?: boolean;
  /**
   * Time after which the broker aborts a transaction whose process has fallen silent; until then readers wait before it. At most the
   * brokers' `transaction.max.timeout.ms`. @default 60_000
   */
  readonly transactionTimeout?: number;

  /** @default 5_000 */
  readonly connectionTimeout?: number;
  /** @default 30_000 */
  readonly requestTimeout?: number;
  /**
   * Time without an answer after which a broker is asked for a sign of life, where nothing else is asked of it. A broker may be
   * suspended, or the network swallow everything, without a connection that breaks. @default 3_000
   */
  readonly livenessInterval?: number;
  /** Silence of all brokers, once one was asked, after which the provider reports that it is disconnected. @default 5_000 */
  readonly livenessTimeout?: number;
  /** How often partitions that were added are looked for. @default 30_000 */
  readonly metadataMaxAge?: number;
}

export type ResolvedKafkaOptions = Required<Omit<KafkaOptions, 'sasl' | 'ssl' | 'clientId' | 'openSocket'>> & {
  readonly clientId: string | undefined;
  readonly ssl: ConnectionOptions | undefined;
  readonly sasl: KafkaSasl | undefined;
  readonly openSocket: ((target: SocketTarget) => Socket) | undefined;
};

const KIB = 1024;
/** What a record needs besides its body: framing, key, 8 KiB of users' headers, our own. */
const RECORD_OVERHEAD = 16 * KIB;
const DAY = 86_400_000;

const LIMITS: NumberLimits = {
  partitions: [1, 100_000],
  retryPartitions: [1, 100_000],
  replicationFactor: [-1, 32_767],
  retryRetention: [60_000, 3_650 * DAY],
  maxMessageBytes: [32 * KIB, 1024 * KIB * KIB],
  batchBytes: [KIB, 1024 * KIB * KIB],
  sessionTimeout: [1_000, 3_600_000],
  heartbeatInterval: [50, 1_200_000],
  commitInterval: [1, 60_000],
  commitThreshold: [1, 1_000_000],
  fetchBytesPerPartition: [KIB, 256 * KIB * KIB],
  fetchBytes: [KIB, 512 * KIB * KIB],
  fetchWait: [1, 30_000],
  transactionTimeout: [1_000, 900_000],
  connectionTimeout: [50, 600_000],
  requestTimeout: [50, 600_000],
  livenessInterval: [100, 600_000],
  livenessTimeout: [100, 600_000],
  metadataMaxAge: [100, DAY],
};

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveKafkaOptions(options: KafkaOptions): ResolvedKafkaOptions {
  const resolved = {
    brokers: options.brokers,
    clientId: options.clientId,
    ssl: options.ssl === true ? {} : options.ssl === false ? undefined : options.ssl,
    sasl: options.sasl,
    openSocket: options.openSocket,
    partitions: options.partitions ?? 6,
    retryPartitions: options.retryPartitions ?? 3,
    replicationFactor: options.replicationFactor ?? -1,
    topicConfig: options.topicConfig ?? {},
    retryRetention: options.retryRetention ?? 14 * DAY,
    maxMessageBytes: options.maxMessageBytes ?? 1024 * KIB,
    batchBytes: options.batchBytes ?? 512 * KIB,
    sessionTimeout: options.sessionTimeout ?? 30_000,
    heartbeatInterval: options.heartbeatInterval ?? 1_000,
    commitInterval: options.commitInterval ?? 200,
    commitThreshold: options.commitThreshold ?? 5_000,
    fetchBytesPerPartition: options.fetchBytesPerPartition ?? 1024 * KIB,
    fetchBytes: options.fetchBytes ?? 10 * 1024 * KIB,
    fetchWait: options.fetchWait ?? 500,
    readUncommitted: options.readUncommitted ?? false,
    transactions: options.transactions ?? false,
    transactionTimeout: options.transactionTimeout ?? 60_000,
    connectionTimeout: options.connectionTimeout ?? 5_000,
    requestTimeout: options.requestTimeout ?? 30_000,
    livenessInterval: options.livenessInterval ?? 3_000,
    livenessTimeout: options.livenessTimeout ?? 5_000,
    metadataMaxAge: options.metadataMaxAge ?? 30_000,
  };
  const faults = optionFaults(options, resolved, LIMITS);
  const { brokers } = options;
  if (!Array.isArray(brokers) || brokers.length === 0 || !brokers.every(isAddress)) {
    faults.push('`brokers` must be a list of `host:port`, e.g. ["localhost:9092"]');
  }
  if (resolved.replicationFactor === 0) faults.push('`replicationFactor` must be -1 or at least 1');
  if (resolved.transactions && resolved.readUncommitted) {
    faults.push('`transactions` and `readUncommitted` exclude each other: what is not committed may never be');
  }
  if (resolved.heartbeatInterval * 2 > resolved.sessionTimeout) {
    faults.push('`heartbeatInterval` must be at most half of `sessionTimeout`; a third is usual');
  }
  if (faults.length > 0) {
    throw new EventingError('EVT_INVALID_OPTIONS', `kafka({ … }) cannot be used: ${faults.join('; ')}.`);
  }
  return resolved;
}

/** Bytes of the largest body that fits into one message together with key and headers. */
export function largestBody(options: ResolvedKafkaOptions): number {
  return options.maxMessageBytes - RECORD_OVERHEAD;
}

function isAddress(value: unknown): boolean {
  const parsed = typeof value === 'string' ? parseAddress(value) : undefined;
  return parsed !== undefined;
}

/** `host:port` or `[v6]:port`. */
export function parseAddress(address: string): { readonly host: string; readonly port: number } | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:\s/[\]]+)):(\d{1,5})$/.exec(address);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}
