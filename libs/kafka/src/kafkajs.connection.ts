import net, { type Socket } from 'node:net';
import tls, { type ConnectionOptions as TlsOptions } from 'node:tls';
import Connection from 'kafkajs/src/network/connection.js';
import protocol, { type Definition, type Protocol } from 'kafkajs/src/protocol/requests/index.js';
import type { Clock, ProviderLogger } from 'nestjs-eventing';
import { DriverError } from './kafka.driver.js';
import type { ResolvedKafkaOptions, SocketTarget } from './kafka.options.js';
import { asDriverError } from './kafkajs.codes.js';

export interface ConnectionSettings {
  readonly options: ResolvedKafkaOptions;
  readonly clientId: string;
  readonly logger: ProviderLogger;
  readonly clock: Clock;
}

type Versions = Record<number, { minVersion: number; maxVersion: number }>;

/** Apis by kafkajs's name for them, with the number that Kafka gave them. */
const API_KEYS = {
  ListOffsets: 2,
  Metadata: 3,
  OffsetCommit: 8,
  GroupCoordinator: 10,
  JoinGroup: 11,
  Heartbeat: 12,
  LeaveGroup: 13,
  SyncGroup: 14,
  CreateTopics: 19,
  InitProducerId: 22,
  AddPartitionsToTxn: 24,
  AddOffsetsToTxn: 25,
  EndTxn: 26,
  TxnOffsetCommit: 28,
  DeleteGroups: 42,
} as const;

export type ApiName = keyof typeof API_KEYS;

const PRODUCE = { key: 0, version: 7 };
/** The last that a broker refuses that does not lead the partition: from 11 on it answers with the copy it has, however old. */
const FETCH = { key: 1, version: 10 };
const POSITION_FETCH = { key: 9, version: 7 };
const RENEWAL = { key: 22, version: 3 };
/** Of our own encoding; Kafka 2.5 is the first that knows all of them. */
const EXCHANGES = { Produce: PRODUCE, Fetch: FETCH, OffsetFetch: POSITION_FETCH, InitProducerId: RENEWAL } as const;
const SASL_AUTHENTICATE = 36;

/**
 * One socket to one broker. Answers are decoded and not judged: kafkajs's own parsers throw at the first error code in an answer,
 * and with it lose what the broker said of every other partition.
 *
 * Never opened twice: kafkajs keeps half an answer when a connection breaks and would read on in the middle of it.
 */
export class KafkajsConnection {
  private readonly connection: Connection;
  private socket: Socket | undefined;
  private versions: Versions = {};
  private closed = false;
  /** Called once when the socket is gone, whoever closed it. */
  onClose: (() => void) | undefined;
  /** Called with each answer once it is open, whatever it says. */
  onAnswer: (() => void) | undefined;

  constructor(
    readonly host: string,
    readonly port: number,
    private readonly settings: ConnectionSettings,
  ) {
    const { options, clientId } = settings;
    this.connection = new Connection({
      host,
      port,
      clientId,
      logger: quietLogger(settings.logger),
      ssl: options.ssl ?? null,
      // A copy for each: kafkajs stores its authenticator in the object.
      sasl: options.sasl === undefined ? null : { ...options.sasl },
      connectionTimeout: options.connectionTimeout,
      requestTimeout: options.requestTimeout,
      enforceRequestTimeout: true,
      maxInFlightRequests: null,
      socketFactory: (target) => this.openSocket(target),
    });
  }

  get usable(): boolean {
    return !this.closed && this.connection.isConnected();
  }

  async open(): Promise<void> {
    try {
      await this.connection.connect();
      const answer = await this.connection.send(apiVersions());
      for (const api of (answer as { apiVersions: { apiKey: number; minVersion: number; maxVersion: number }[] })
        .apiVersions) {
        this.versions[api.apiKey] = api;
      }
      for (const [name, api] of Object.entries(EXCHANGES)) this.requireVersion(api, name);
      this.connection.setVersions(this.versions);
      this.connection.setSupportAuthenticationProtocol(this.versions[SASL_AUTHENTICATE] !== undefined);
      await this.connection.authenticate();
    } catch (error) {
      this.close();
      throw asDriverError(error);
    }
  }

  /** Sends by kafkajs's codec, in the newest version that both sides know; the answer as it was decoded. */
  async call<Answer>(api: ApiName, request: object): Promise<Answer> {
    const { versions, protocol: versioned } = definition(api);
    const supported = this.versions[API_KEYS[api]];
    const version = Math.min(Math.max(...versions.map(Number)), supported?.maxVersion ?? -1);
    if (supported === undefined || version < supported.minVersion) {
      throw new DriverError('UNSUPPORTED_VERSION', `the broker and kafkajs share no version of ${api}`);
    }
    return (await this.send(versioned({ version })(request))) as Answer;
  }

  /** Sends bytes of our own encoding. */
  async exchange<Answer>(
    api: keyof typeof EXCHANGES,
    body: Buffer,
    decode: (answer: Buffer) => Promise<Answer>,
    timeout: number,
  ): Promise<Answer> {
    const { key, version } = EXCHANGES[api];
    // What kafkajs takes for an encoder: something with `buf` and `buffer`.
    const encoded = { buf: body, buffer: body };
    const request = { apiKey: key, apiVersion: version, apiName: api, encode: () => Promise.resolve(encoded) };
    return (await this.send({
      request,
      response: { decode, parse: (decoded) => Promise.resolve(decoded) },
      requestTimeout: timeout,
    })) as Answer;
  }

  /** The cheapest question there is: it needs no rights, and whoever answers it works. */
  async ping(): Promise<void> {
    await this.send(apiVersions());
  }

  /** Breaks the connection; what waits for an answer rejects. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    // Only an error makes kafkajs reject what is pending; a plain end would have its requests wait for their time-outs.
    this.socket?.destroy(new Error('closed by this client'));
    this.socket = undefined;
  }

  private async send(request: Protocol): Promise<unknown> {
    if (this.closed)
      throw new DriverError('CONNECTION_CLOSED', `the connection to ${this.host}:${this.port} is closed`);
    const { decode } = request.response;
    try {
      const answer = await this.connection.send({
        ...request,
        response: { decode, parse: (decoded) => Promise.resolve(decoded) },
      });
      this.onAnswer?.();
      return answer;
    } catch (error) {
      throw asDriverError(error);
    }
  }

  private openSocket(target: { host: string; port: number; ssl: object | null; onConnect: () => void }): Socket {
    const { host, port, onConnect } = target;
    const ssl: TlsOptions | undefined = target.ssl ?? undefined;
    const socket = (this.settings.options.openSocket ?? openSocket)({ host, port, ssl });
    socket.once(ssl === undefined ? 'connect' : 'secureConnect', onConnect);
    socket.setNoDelay(true);
    socket.setKeepAlive(true, 60_000);
    socket.once('close', () => {
      this.closed = true;
      // kafkajs hears of `end` and `error` only; this is the third way to lose a socket.
      socket.emit('end');
      this.onClose?.();
      this.onClose = undefined;
    });
    this.socket = socket;
    return socket;
  }

  private requireVersion(api: { key: number; version: number }, name: string): void {
    const range = this.versions[api.key];
    if (range !== undefined && range.minVersion <= api.version && range.maxVersion >= api.version) return;
    throw new DriverError(
      'UNSUPPORTED_VERSION',
      `the broker at ${this.host}:${this.port} does not speak version ${api.version} of ${name}: Kafka 2.5 or newer is needed`,
    );
  }
}

function openSocket({ host, port, ssl }: SocketTarget): Socket {
  if (ssl === undefined) return net.connect({ host, port });
  return tls.connect({ host, port, ...(net.isIP(host) === 0 ? { servername: host } : {}), ...ssl });
}

function definition(api: ApiName | 'ApiVersions'): Definition {
  const found = protocol.requests[api];
  if (found === undefined) throw new DriverError('UNSUPPORTED_VERSION', `this version of kafkajs has no ${api}`);
  return found;
}

function apiVersions(): Protocol {
  return definition('ApiVersions').protocol({ version: 0 })();
}

/** kafkajs logs each failed attempt as an error; the room tells of changes instead. Its extras may hold payloads: dropped. */
function quietLogger(logger: ProviderLogger): unknown {
  const ignore = (): void => undefined;
  const tell = (message: string): void => logger.debug(`kafkajs: ${message}`);
  const quiet = { namespace: () => quiet, setLogLevel: ignore, debug: ignore, info: ignore, warn: tell, error: tell };
  return quiet;
}
