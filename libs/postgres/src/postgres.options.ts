import type { ConnectionOptions } from 'node:tls';
import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';
import type { ServerConnection } from './sql/server.options.js';
import { isSchemaName, SCHEMA_RULE } from './sql/schema.name.js';

/** What the log forgets. */
export interface LogRetention {
  /** Milliseconds since an event was stored. */
  readonly maxAge: number;
  /** Also deletes what a durable subscription has not settled yet. @default false */
  readonly dropUnsettled?: boolean;
}

/** Options of the log, on a server or embedded. Times in milliseconds, sizes in bytes. */
export interface LogOptions {
  /** Schema of all tables, created if it is missing. @default 'eventing' */
  readonly schema?: string;
  /** Partitions of a channel that this provider creates: so many processes can share a subscription. @default 16 */
  readonly partitions?: number;
  /** What the log forgets, looked at each `retentionInterval`. @default it keeps everything */
  readonly retention?: LogRetention;
  /** @default 60_000 */
  readonly retentionInterval?: number;

  /** Largest body that is taken. @default 16_777_216 */
  readonly maxMessageBytes?: number;
  /** Greatest number of events in one INSERT. @default 2_000 */
  readonly batchSize?: number;
  /** Greatest size of the bodies of one INSERT, unless a single one is larger. @default 4_194_304 */
  readonly batchBytes?: number;
  /** Greatest size of the bodies of one answer to a reader, as far as the sizes of those before tell. @default 4_194_304 */
  readonly readBytes?: number;

  /** Time without a sign of life after which a process loses its partitions. @default 10_000 */
  readonly leaseTime?: number;
  /** How often a process shows that it is alive. @default 1_000 */
  readonly heartbeatInterval?: number;
  /** How long settled events wait for being written down together. @default 100 */
  readonly commitInterval?: number;
  /** How often a reader looks although nothing was notified. @default 1_000 */
  readonly pollInterval?: number;
}

/** Options of `postgres()`. What is not given of the address is taken from `PGHOST` and the like, as by all clients. */
export interface PostgresOptions extends LogOptions {
  /** `postgres://user:password@host:5432/database`, instead of the five options after it. */
  readonly connectionString?: string;
  /** @default 'localhost' */
  readonly host?: string;
  /** @default 5432 */
  readonly port?: number;
  readonly user?: string;
  /** Or what gives it, asked for each connection. Never logged. */
  readonly password?: string | (() => string | Promise<string>);
  readonly database?: string;
  /** `true`, or options of Node's `tls.connect`. @default false */
  readonly ssl?: boolean | ConnectionOptions;
  /** Shown in `pg_stat_activity`. @default 'nestjs-eventing' */
  readonly applicationName?: string;

  /** Greatest number of connections, beside one that listens. @default 5 */
  readonly poolSize?: number;
  /** @default 5_000 */
  readonly connectionTimeout?: number;
  /** Time without an answer to a statement after which its connection is given up. @default 30_000 */
  readonly statementTimeout?: number;
  /** How often the server is asked for a sign of life. @default 3_000 */
  readonly livenessInterval?: number;
  /** Silence, once asked, after which the provider reports that it is disconnected. @default 5_000 */
  readonly livenessTimeout?: number;
}

/** Options of `embedded()`. */
export interface EmbeddedOptions extends LogOptions {
  /** The folder of the database, created if it is missing. Of one process at a time. */
  readonly dataDir: string;
}

export type ResolvedLogOptions = Required<Omit<LogOptions, 'retention'>> & {
  readonly retention: LogRetention | undefined;
};

const MIB = 1024 * 1024;
const DAY = 86_400_000;

const LOG_LIMITS: NumberLimits = {
  partitions: [1, 1_000],
  retentionInterval: [100, DAY],
  maxMessageBytes: [1024, 256 * MIB],
  batchSize: [1, 50_000],
  batchBytes: [1024, 256 * MIB],
  readBytes: [1024, 256 * MIB],
  leaseTime: [500, 3_600_000],
  heartbeatInterval: [50, 600_000],
  commitInterval: [1, 60_000],
  pollInterval: [10, 600_000],
};

const SERVER_LIMITS: NumberLimits = {
  poolSize: [2, 1_000],
  connectionTimeout: [50, 600_000],
  statementTimeout: [100, 3_600_000],
  livenessInterval: [100, 600_000],
  livenessTimeout: [100, 600_000],
};

export interface ResolvedPostgresOptions {
  readonly log: ResolvedLogOptions;
  readonly server: ServerConnection;
}

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolvePostgresOptions(options: PostgresOptions): ResolvedPostgresOptions {
  const log = resolveLog(options);
  const server: ServerConnection = {
    connectionString: options.connectionString,
    host: options.host,
    port: options.port,
    user: options.user,
    password: options.password,
    database: options.database,
    ssl: options.ssl,
    applicationName: options.applicationName ?? 'nestjs-eventing',
    poolSize: options.poolSize ?? 5,
    connectionTimeout: options.connectionTimeout ?? 5_000,
    statementTimeout: options.statementTimeout ?? 30_000,
    livenessInterval: options.livenessInterval ?? 3_000,
    livenessTimeout: options.livenessTimeout ?? 5_000,
  };
  const faults = [
    ...optionFaults(options, { ...log, ...server }, { ...LOG_LIMITS, ...SERVER_LIMITS }),
    ...logFaults(log),
    ...addressFaults(options),
  ];
  if (faults.length > 0) throw refused('postgres', faults);
  return { log, server };
}

/** Likewise. */
export function resolveEmbeddedOptions(options: EmbeddedOptions): ResolvedLogOptions & { readonly dataDir: string } {
  const resolved = { ...resolveLog(options), dataDir: options.dataDir };
  const faults = [...optionFaults(options, resolved, LOG_LIMITS), ...logFaults(resolved)];
  if (typeof options.dataDir !== 'string' || options.dataDir === '')
    faults.push('`dataDir` must be the path of a folder');
  if (faults.length > 0) throw refused('embedded', faults);
  return resolved;
}

function resolveLog(options: LogOptions): ResolvedLogOptions {
  return {
    schema: options.schema ?? 'eventing',
    partitions: options.partitions ?? 16,
    retention: options.retention,
    retentionInterval: options.retentionInterval ?? 60_000,
    maxMessageBytes: options.maxMessageBytes ?? 16 * MIB,
    batchSize: options.batchSize ?? 2_000,
    batchBytes: options.batchBytes ?? 4 * MIB,
    readBytes: options.readBytes ?? 4 * MIB,
    leaseTime: options.leaseTime ?? 10_000,
    heartbeatInterval: options.heartbeatInterval ?? 1_000,
    commitInterval: options.commitInterval ?? 100,
    pollInterval: options.pollInterval ?? 1_000,
  };
}

function* logFaults({ schema, retention, leaseTime, heartbeatInterval }: ResolvedLogOptions): Iterable<string> {
  if (!isSchemaName(schema)) yield `\`schema\` cannot be used: ${SCHEMA_RULE}`;
  if (retention !== undefined && !(Number.isFinite(retention.maxAge) && retention.maxAge >= 1_000))
    yield '`retention.maxAge` must be at least 1000 milliseconds';
  if (heartbeatInterval * 2 > leaseTime) yield '`leaseTime` must be at least twice `heartbeatInterval`';
}

function* addressFaults(options: PostgresOptions): Iterable<string> {
  const { connectionString, port } = options;
  if (port !== undefined && !(Number.isInteger(port) && port >= 1 && port <= 65_535))
    yield '`port` must be a whole number from 1 to 65535';
  if (connectionString === undefined) return;
  // Nothing of it is shown: a password may be in there.
  if (!/^(postgres|postgresql|socket):/.test(connectionString) && !connectionString.startsWith('/'))
    yield '`connectionString` must be of the form postgres://user:password@host:port/database';
  for (const name of ['host', 'port', 'user', 'password', 'database'] as const)
    if (options[name] !== undefined) yield `\`connectionString\` and \`${name}\` are both given: choose one`;
}

function refused(factory: string, faults: readonly string[]): EventingError {
  return new EventingError('EVT_INVALID_OPTIONS', `${factory}({ … }) cannot be used: ${faults.join('; ')}.`);
}
