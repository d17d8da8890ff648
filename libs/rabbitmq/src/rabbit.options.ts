import type { ConnectionOptions } from 'node:tls';
import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';
import { type RabbitServer, serverOf, serversOf } from './rabbit.server.js';

/** Where a channel lives that other software made. What is named here is never created, only looked for. */
export interface RabbitChannel {
  /** The exchange that its events are sent to, and that queues are bound to; `''` is the default exchange. @default the channel */
  readonly exchange?: string;
  /** Of what is sent. @default the channel */
  readonly routingKey?: string;
  /** What a listener's queue is bound with. @default `#`, or `routingKey` if that is given */
  readonly binding?: string;
  /** A queue that listeners of this channel read instead of having one each. They share it: each message reaches one of them. */
  readonly queue?: string;
}

/** Options of `rabbitmq()`. Times in milliseconds, sizes in bytes. */
export interface RabbitOptions {
  /**
   * `amqp://user:password@host:port/vhost`, or `amqps://…`; of a cluster, several: each attempt to connect takes the next. Instead of
   * `host`, `port`, `username`, `password` and `vhost`.
   */
  readonly url?: string | readonly string[];
  /** @default 'localhost' */
  readonly host?: string;
  /** @default 5672, or 5671 with `tls` */
  readonly port?: number;
  /** @default 'guest' */
  readonly username?: string;
  /** @default 'guest' */
  readonly password?: string;
  /** @default '/' */
  readonly vhost?: string;
  /** `true`, or options of Node's `tls.connect`. @default false, or true for `amqps://` */
  readonly tls?: boolean | ConnectionOptions;
  /** Shown in the broker's list of connections. @default service and instance */
  readonly connectionName?: string;

  /** Put before the name of each exchange that a channel lives in. @default '' */
  readonly exchangePrefix?: string;
  /** Channels that other software made, by name. @default none */
  readonly channels?: Readonly<Record<string, RabbitChannel>>;
  /**
   * Queues that a channel is spread over for each listener that keeps key order; a key stays in one of them. One process at a time
   * reads each, so this is how many processes can share the work. The same for all services of a broker. @default 1
   */
  readonly partitions?: number;
  /** More arguments of durable queues that are created, e.g. `{ 'x-quorum-initial-group-size': 5 }`. @default none */
  readonly queueArguments?: Readonly<Record<string, string | number | boolean>>;
  /** How long a queue that is not durable outlives the connection of its last process. @default 60_000 */
  readonly expires?: number;

  /** What the broker accepts as one message (its `max_message_size`). @default 16_777_216 */
  readonly maxMessageBytes?: number;
  /** Greatest number of messages sent and not confirmed; more wait. @default 4_096 */
  readonly maxUnconfirmed?: number;
  /** Messages of an ordered queue that the broker hands over ahead, at least; `window` still bounds what is delivered. @default 256 */
  readonly prefetch?: number;
  /** How long accepted messages wait for being acknowledged together, while others are in work. @default 2 */
  readonly ackInterval?: number;
  /** Accepted messages after which an acknowledgement does not wait, at most a quarter of the prefetch. @default 128 */
  readonly ackThreshold?: number;

  /** Of the connection and its handshake. @default 5_000 */
  readonly connectionTimeout?: number;
  /**
   * How often both sides show that they are alive, in whole seconds (1_000, 2_000, …). A broker that falls silent and keeps its
   * connections open is noticed after two to three of them. @default 5_000
   */
  readonly heartbeat?: number;
}

type Given = 'url' | 'host' | 'port' | 'username' | 'password' | 'vhost' | 'tls' | 'connectionName';

export type ResolvedRabbitOptions = Required<Omit<RabbitOptions, Given>> & {
  readonly servers: readonly RabbitServer[];
  readonly tls: ConnectionOptions | undefined;
  readonly connectionName: string | undefined;
};

const KIB = 1024;
const MIB = 1024 * KIB;
const LIMITS: NumberLimits = {
  partitions: [1, 1_000],
  expires: [1_000, 7 * 86_400_000],
  maxMessageBytes: [KIB, 512 * MIB],
  maxUnconfirmed: [1, 1_000_000],
  prefetch: [1, 65_535],
  ackInterval: [1, 10_000],
  ackThreshold: [1, 65_535],
  connectionTimeout: [50, 600_000],
  heartbeat: [1_000, 600_000],
};

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveRabbitOptions(options: RabbitOptions): ResolvedRabbitOptions {
  const { url, host, port, username, password, vhost, tls } = options;
  const rest = {
    connectionName: options.connectionName,
    exchangePrefix: options.exchangePrefix ?? '',
    channels: options.channels ?? {},
    partitions: options.partitions ?? 1,
    queueArguments: options.queueArguments ?? {},
    expires: options.expires ?? 60_000,
    maxMessageBytes: options.maxMessageBytes ?? 16 * MIB,
    maxUnconfirmed: options.maxUnconfirmed ?? 4_096,
    prefetch: options.prefetch ?? 256,
    ackInterval: options.ackInterval ?? 2,
    ackThreshold: options.ackThreshold ?? 128,
    connectionTimeout: options.connectionTimeout ?? 5_000,
    heartbeat: options.heartbeat ?? 5_000,
  };
  const faults = optionFaults(options, { url, host, port, username, password, vhost, tls, ...rest }, LIMITS);
  if (rest.heartbeat % 1_000 !== 0) faults.push('`heartbeat` must be whole seconds, in milliseconds');
  faults.push(...nameFaults(options));
  const { servers, faults: more } = url === undefined ? serverOf(options) : serversOf(url, options);
  faults.push(...more);
  if (faults.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `rabbitmq({ … }) cannot be used: ${faults.join('; ')}.`);
  const secure = tls === true || (tls === undefined && servers.some((server) => server.secure));
  return { ...rest, servers, tls: typeof tls === 'object' ? tls : secure ? {} : undefined };
}

function* nameFaults({ exchangePrefix, channels, queueArguments }: RabbitOptions): Iterable<string> {
  if (exchangePrefix !== undefined && !isName(exchangePrefix, 0, 100))
    yield '`exchangePrefix` must be text of at most 100 bytes that does not begin with `amq.`';
  for (const [channel, { exchange, routingKey, binding, queue }] of Object.entries(channels ?? {})) {
    const named = { exchange, routingKey, binding, queue };
    for (const [name, value] of Object.entries(named))
      if (value !== undefined && (typeof value !== 'string' || Buffer.byteLength(value) > 255))
        yield `\`channels.${channel.slice(0, 100)}.${name}\` must be text of at most 255 bytes`;
    if (queue === '') yield `\`channels.${channel.slice(0, 100)}.queue\` must name a queue`;
  }
  for (const name of Object.keys(queueArguments ?? {}))
    if (RESERVED_ARGUMENTS.has(name)) yield `\`queueArguments\` must not have ${name}: it belongs to this provider`;
}

const RESERVED_ARGUMENTS = new Set(['x-queue-type', 'x-single-active-consumer', 'x-delivery-limit', 'x-expires']);

function isName(value: unknown, least: number, most: number): boolean {
  if (typeof value !== 'string' || value.startsWith('amq.')) return false;
  const bytes = Buffer.byteLength(value);
  return bytes >= least && bytes <= most;
}
