import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';

export interface SocketTarget {
  readonly host: string;
  readonly port: number;
  /** Present where TLS is to be spoken. */
  readonly tls: ConnectionOptions | undefined;
}

/** Options of `amqp()`. Times in milliseconds, sizes in bytes. */
export interface AmqpOptions {
  /**
   * The kind of broker: all speak AMQP 1.0, but each has its own addresses, and its own way to make queues. The start is refused where
   * another one answers. @default 'artemis'
   */
  readonly broker?: 'artemis' | 'rabbitmq';
  /**
   * How RabbitMQ's addresses are spelled. `v1`: as RabbitMQ 3 with its plugin wants them; then nothing can be made, looked for or
   * scanned over AMQP 1.0, and `topology` must be `'check'`. @default 'v2'
   */
  readonly addresses?: 'v2' | 'v1';
  /** Of RabbitMQ. @default the broker's `default_vhost` */
  readonly vhost?: string;
  /** @default 'localhost' */
  readonly host?: string;
  /** @default 5672, or 5671 with `tls` */
  readonly port?: number;
  /** With `password`, for SASL PLAIN. Nothing of it is ever logged. @default none: SASL ANONYMOUS */
  readonly username?: string;
  readonly password?: string;
  /** `true`, or options of Node's `tls.connect`. @default false */
  readonly tls?: boolean | ConnectionOptions;
  /** Shown in the broker's list of connections; the name of the service by default. @default the name of the service */
  readonly containerId?: string;

  /** Opens the sockets: through a proxy, say. @default `net.connect`, or `tls.connect` with `tls` */
  readonly openSocket?: (target: SocketTarget) => Socket;

  /** Largest body that is sent. @default 8_388_608 */
  readonly maxMessageBytes?: number;
  /** Silence after which a broker that keeps its connections open counts as gone. @default 8_000 */
  readonly idleTimeout?: number;
  /** For opening a connection. @default 5_000 */
  readonly connectTimeout?: number;
  /** For an answer of the broker's management. @default 10_000 */
  readonly requestTimeout?: number;
  /** How long accepted messages wait for being confirmed together. @default 5 */
  readonly settleInterval?: number;
  /**
   * How long the broker keeps the queue of a listener that is per process or not durable, once nobody is connected: a lost
   * connection shorter than that loses nothing. @default 60_000
   */
  readonly queueGrace?: number;
}

export type ResolvedAmqpOptions = Required<
  Omit<AmqpOptions, 'tls' | 'openSocket' | 'containerId' | 'username' | 'password' | 'vhost'>
> & {
  readonly vhost: string | undefined;
  readonly tls: ConnectionOptions | undefined;
  readonly openSocket: ((target: SocketTarget) => Socket) | undefined;
  readonly containerId: string | undefined;
  readonly username: string | undefined;
  readonly password: string | undefined;
};

const MIB = 1024 * 1024;

const LIMITS: NumberLimits = {
  port: [1, 65_535],
  maxMessageBytes: [1024, 512 * MIB],
  idleTimeout: [500, 600_000],
  connectTimeout: [50, 600_000],
  requestTimeout: [50, 600_000],
  settleInterval: [1, 1_000],
  queueGrace: [0, 86_400_000],
};

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveAmqpOptions(options: AmqpOptions): ResolvedAmqpOptions {
  const tls = options.tls === true ? {} : options.tls === false ? undefined : options.tls;
  const resolved = {
    broker: options.broker ?? 'artemis',
    addresses: options.addresses ?? 'v2',
    vhost: options.vhost,
    host: options.host ?? 'localhost',
    port: options.port ?? (tls === undefined ? 5672 : 5671),
    username: options.username,
    password: options.password,
    tls,
    containerId: options.containerId,
    openSocket: options.openSocket,
    maxMessageBytes: options.maxMessageBytes ?? 8 * MIB,
    idleTimeout: options.idleTimeout ?? 8_000,
    connectTimeout: options.connectTimeout ?? 5_000,
    requestTimeout: options.requestTimeout ?? 10_000,
    settleInterval: options.settleInterval ?? 5,
    queueGrace: options.queueGrace ?? 60_000,
  };
  const faults = optionFaults(options, resolved, LIMITS);
  if (typeof resolved.host !== 'string' || !/^[^\s/@]+$/.test(resolved.host))
    faults.push('`host` must be the name or address of a host, without scheme, user and port');
  faults.push(...brokerFaults(resolved, options));
  const { username, password } = resolved;
  if ((username === undefined) !== (password === undefined) || username === '' || password === '')
    faults.push('`username` and `password` belong together: give both, or none for SASL ANONYMOUS');
  if (faults.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `amqp({ … }) cannot be used: ${faults.join('; ')}.`);
  return resolved;
}

function brokerFaults({ broker, addresses, vhost }: Partial<AmqpOptions>, given: AmqpOptions): readonly string[] {
  const faults: string[] = [];
  if (broker !== 'artemis' && broker !== 'rabbitmq') faults.push("`broker` must be 'artemis' or 'rabbitmq'");
  if (addresses !== 'v1' && addresses !== 'v2') faults.push("`addresses` must be 'v1' or 'v2'");
  if (vhost !== undefined && (typeof vhost !== 'string' || vhost === '')) faults.push('`vhost` must be a name');
  if (broker === 'artemis' && (given.addresses !== undefined || vhost !== undefined))
    faults.push("`addresses` and `vhost` are for `broker: 'rabbitmq'`");
  return faults;
}
