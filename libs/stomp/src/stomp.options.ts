import type { Socket } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { EventingError, type NumberLimits, optionFaults } from 'nestjs-eventing';

export interface StompSocketTarget {
  readonly host: string;
  readonly port: number;
  /** Present where TLS is to be spoken. */
  readonly tls: ConnectionOptions | undefined;
}

/** Options of `stomp()`. Times in milliseconds, sizes in bytes. */
export interface StompOptions {
  readonly host: string;
  /** @default 61613 */
  readonly port?: number;
  /** @default none */
  readonly username?: string;
  /** Never logged. @default none */
  readonly password?: string;
  /** `true`, or options of Node's `tls.connect`. @default false */
  readonly tls?: boolean | ConnectionOptions;
  /** The virtual host asked for. @default `host` */
  readonly virtualHost?: string;

  /** Opens the sockets: through a proxy, say. @default `net.connect`, or `tls.connect` with `tls` */
  readonly openSocket?: (target: StompSocketTarget) => Socket;

  /**
   * How often each side shows that it is alive. The broker gives the messages of a process that was silent for twice as long to
   * others; a broker that was silent for two to three times as long counts as gone. @default 5_000
   */
  readonly heartbeat?: number;
  /** @default 5_000 */
  readonly connectTimeout?: number;
  /** How long an answer of the broker to anything but a sent event is awaited. @default 30_000 */
  readonly requestTimeout?: number;

  /** Events that may be on their way to the broker without its receipt. @default 2_048 */
  readonly publishWindow?: number;
  /**
   * What a message is expected to take. The broker counts bytes and not messages: it sends ahead a listener's `window` times this.
   * @default 1_024
   */
  readonly bytesPerMessage?: number;
  /** Greatest frame that is taken into memory; larger messages are set aside. No event may be larger. @default 8_388_608 */
  readonly maxFrameBytes?: number;
  /** How long acknowledgements wait for being written together, while others are in work. @default 5 */
  readonly ackInterval?: number;
  /** Acknowledgements that do not wait any longer. @default 64 */
  readonly ackThreshold?: number;
}

export type ResolvedStompOptions = Required<Omit<StompOptions, 'username' | 'password' | 'tls' | 'openSocket'>> & {
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly tls: ConnectionOptions | undefined;
  readonly openSocket: ((target: StompSocketTarget) => Socket) | undefined;
};

const KIB = 1024;
/** What a frame needs besides its body: 8 KiB of users' headers, escaped or not UTF-8, and what is known of a failure. */
const FRAME_OVERHEAD = 64 * KIB;
const LIMITS: NumberLimits = {
  port: [1, 65_535],
  heartbeat: [500, 600_000],
  connectTimeout: [50, 600_000],
  requestTimeout: [50, 600_000],
  publishWindow: [1, 100_000],
  bytesPerMessage: [1, 16 * KIB * KIB],
  maxFrameBytes: [128 * KIB, 512 * KIB * KIB],
  ackInterval: [1, 60_000],
  ackThreshold: [1, 100_000],
};
/** What would end a header, and begin another. */
// oxlint-disable-next-line no-control-regex
const UNSAFE = /[\r\n\u0000]/;

/** Defaults filled in, everything checked. Throws EVT_INVALID_OPTIONS with each fault. */
export function resolveStompOptions(options: StompOptions): ResolvedStompOptions {
  const resolved = {
    host: options.host,
    port: options.port ?? 61_613,
    username: options.username,
    password: options.password,
    tls: options.tls === true ? {} : options.tls === false ? undefined : options.tls,
    virtualHost: options.virtualHost ?? options.host,
    openSocket: options.openSocket,
    heartbeat: options.heartbeat ?? 5_000,
    connectTimeout: options.connectTimeout ?? 5_000,
    requestTimeout: options.requestTimeout ?? 30_000,
    publishWindow: options.publishWindow ?? 2_048,
    bytesPerMessage: options.bytesPerMessage ?? KIB,
    maxFrameBytes: options.maxFrameBytes ?? 8 * KIB * KIB,
    ackInterval: options.ackInterval ?? 5,
    ackThreshold: options.ackThreshold ?? 64,
  };
  const faults = optionFaults(options, resolved, LIMITS);
  if (typeof options.host !== 'string' || options.host === '') faults.push('`host` must be a name or an address');
  for (const name of ['username', 'password', 'virtualHost'] as const) {
    const value: unknown = options[name];
    if (value !== undefined && (typeof value !== 'string' || UNSAFE.test(value)))
      faults.push(`\`${name}\` must be text without line breaks`);
  }
  if (faults.length > 0)
    throw new EventingError('EVT_INVALID_OPTIONS', `stomp({ … }) cannot be used: ${faults.join('; ')}.`);
  return resolved;
}

/** Bytes of the largest body that fits into one frame together with its headers. */
export function largestBody(options: ResolvedStompOptions): number {
  return options.maxFrameBytes - FRAME_OVERHEAD;
}
