import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import rhea, { type Connection, type Session } from 'rhea';
import { asError } from './amqp.errors.js';
import type { ResolvedAmqpOptions } from './amqp.options.js';
import { connectionInternals } from './rhea.internals.js';

/** Times that a connection is looked at within `idleTimeout`. */
const LOOKS = 4;
/** The longest that a goodbye is waited for. Milliseconds. */
const GOODBYE = 1_000;
/** What one frame of the broker's may be; larger messages come in several. */
const FRAME_BYTES = 1024 * 1024;

/**
 * One connection, from its socket to its end; the next attempt is another object. rhea's own reconnection is not used: it does not
 * notice a session that the broker closed, and sends into it for ever. Here the end of anything but a link ends the connection.
 */
export class AmqpConnection {
  private readonly losses = new Set<(cause: Error) => void>();
  private cause: Error | undefined;
  private watch: NodeJS.Timeout | undefined;
  private silentLooks = 0;

  private constructor(
    readonly rhea: Connection,
    private readonly socket: Socket,
  ) {}

  /** Rejects with a `BrokerError`, or an error of the socket's. */
  static open(options: ResolvedAmqpOptions, containerId: string): Promise<AmqpConnection> {
    return new Promise((resolve, reject) => {
      const { host, port, tls, username, password, idleTimeout } = options;
      const socket = options.openSocket?.({ host, port, tls }) ?? openSocket(options);
      const connection = rhea.create_container({ id: containerId }).connect({
        host,
        port,
        ...(options.vhost === undefined ? {} : { hostname: `vhost:${options.vhost}` }),
        username: username ?? 'anonymous',
        ...(password === undefined ? {} : { password }),
        reconnect: false,
        max_frame_size: FRAME_BYTES,
        // The broker is to speak twice as often as it must.
        idle_time_out: Math.floor(idleTimeout / 2),
        connection_details: () => ({
          host,
          port,
          options: {},
          connect: (_port: number, _host: string, _options: unknown, connected: () => void) => {
            socket.setNoDelay(true);
            socket.once(tls === undefined ? 'connect' : 'secureConnect', connected);
            return socket;
          },
        }),
      });
      const self = new AmqpConnection(connection, socket);
      const limit = setTimeout(
        () => self.lose(new Error(`no answer from ${host}:${port} within ${options.connectTimeout} ms`)),
        options.connectTimeout,
      );
      self.onLost((cause) => {
        clearTimeout(limit);
        reject(cause);
      });
      self.listen(() => {
        clearTimeout(limit);
        if (self.cause !== undefined) return;
        self.watchOver(idleTimeout / LOOKS);
        resolve(self);
      });
    });
  }

  /** As the broker calls itself; empty where it does not. */
  get product(): string {
    return this.told('product');
  }

  get version(): string {
    return this.told('version');
  }

  get isLost(): boolean {
    return this.cause !== undefined;
  }

  /** Calls `fn` once, at the end of the connection: now, if that was. */
  onLost(fn: (cause: Error) => void): void {
    if (this.cause === undefined) this.losses.add(fn);
    else fn(this.cause);
  }

  offLost(fn: (cause: Error) => void): void {
    this.losses.delete(fn);
  }

  openSession(): Session {
    const session = connectionInternals(this.rhea).create_session();
    session.begin();
    return session;
  }

  /** Until the end of this turn, what is written leaves together. */
  cork(): void {
    if (this.socket.writableCorked > 0 || this.isLost) return;
    this.socket.cork();
    setImmediate(() => this.socket.uncork());
  }

  /** Ends it, at once. */
  lose(cause: Error): void {
    if (this.cause !== undefined) return;
    this.cause = cause;
    clearTimeout(this.watch);
    // With an error: rhea clears its timers only then.
    this.socket.destroy(cause);
    const losses = [...this.losses];
    this.losses.clear();
    for (const fn of losses) fn(cause);
  }

  /** Says goodbye. Never rejects, and does not wait for long. */
  async close(): Promise<void> {
    if (this.isLost) return;
    const closed = new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, GOODBYE);
      this.onLost(() => {
        clearTimeout(timer);
        resolve();
      });
    });
    this.rhea.close();
    await closed;
    this.lose(new Error('the connection was closed'));
  }

  private told(property: string): string {
    const told: Readonly<Record<string, unknown>> | undefined = this.rhea.properties;
    const value = told?.[property];
    return typeof value === 'string' ? value.slice(0, 100) : '';
  }

  private listen(opened: () => void): void {
    const { rhea: connection, socket } = this;
    const end = (thrown: unknown, otherwise: string): void => this.lose(asError(thrown, otherwise));
    connection.once('connection_open', opened);
    connection.on('connection_error', ({ error }) => end(error ?? connection.error, 'the broker reported an error'));
    connection.on('connection_close', () => end(connection.error, 'the broker closed the connection'));
    connection.on('disconnected', ({ error }) => end(error, 'the connection ended'));
    connection.on('session_error', ({ session }) => end(session?.error, 'the broker closed the session'));
    connection.on('session_close', ({ session }) => end(session?.error, 'the broker closed the session'));
    // Without listeners rhea throws these where nobody can catch them, or prints them.
    connection.on('error', (error) => end(error, 'rhea failed'));
    connection.on('protocol_error', (error) => end(error, 'what came is not AMQP'));
    for (const event of ['sender_error', 'sender_close', 'receiver_error', 'receiver_close', 'settled'])
      connection.on(event, () => undefined);
    socket.on('data', () => (this.silentLooks = 0));
    socket.once('close', () => end(undefined, 'the connection ended'));
  }

  /**
   * By looks and not by the clock: a process that was itself suspended has heard nothing for long, and the broker may be well.
   */
  private watchOver(interval: number): void {
    const internals = connectionInternals(this.rhea);
    // rhea's own watch would take a second goodbye's time more, and arm a timer for each piece that comes.
    internals.local.open.idle_time_out = undefined;
    clearTimeout(internals.heartbeat_in);
    const look = (): void => {
      if (++this.silentLooks > LOOKS) this.lose(new Error(`the broker said nothing for ${interval * LOOKS} ms`));
      else this.watch = setTimeout(look, interval).unref();
    };
    this.watch = setTimeout(look, interval).unref();
  }
}

function openSocket({ host, port, tls }: ResolvedAmqpOptions): Socket {
  return tls === undefined ? connect({ host, port }) : connectTls({ servername: host, ...tls, host, port });
}
