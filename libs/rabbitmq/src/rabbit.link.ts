import { type Channel, type ChannelModel, connect } from 'amqplib';
import { Alarm, backoff, EventingError, type ProviderLogger, settledWithin } from 'nestjs-eventing';
import { FrameReader } from './frame.reader.js';
import { connectionError, hopeless } from './rabbit.errors.js';
import type { ResolvedRabbitOptions } from './rabbit.options.js';

/** What lives on a connection and has to begin anew on the next one. */
export interface LinkUser {
  /** @param frames undefined where amqplib reads everything */
  up(connection: ChannelModel, frames: FrameReader | undefined): void;
  down(): void;
}

export interface LinkWatcher {
  up(link: RabbitLink): void;
  /** Told at each attempt that failed, too. */
  down(link: RabbitLink, cause: unknown): void;
}

/** Pauses between attempts. Where the broker refuses, trying often is of no use and fills its log. */
const MOST_PAUSE = 5_000;
const REFUSED_PAUSE = 30_000;
/** A virtual host that does not open may be one that is not ready yet. */
const VHOST_ATTEMPTS = 3;
const CLOSE_WITHIN = 2_000;

/** One connection, made again for as long as it takes. amqplib's own recovery is not used: see decision 0008. */
export class RabbitLink {
  connection: ChannelModel | undefined;
  private frames: FrameReader | undefined;
  private readonly users = new Set<LinkUser>();
  private readonly alarm = new Alarm();
  private opening: Promise<void> | undefined;
  private stopped = false;
  private next = 0;

  constructor(
    /** For people: `publish`, `consume`. */
    readonly name: string,
    private readonly options: ResolvedRabbitOptions,
    private readonly connectionName: string,
    private readonly watcher: LinkWatcher,
    private readonly logger: ProviderLogger,
  ) {}

  get isOpen(): boolean {
    return this.opening !== undefined;
  }

  /** Resolves when it is connected for the first time. Rejects for what waiting will not mend, and when it is stopped. */
  open(): Promise<void> {
    this.opening ??= this.tryToOpen().catch((error: unknown) => {
      this.opening = undefined;
      throw error;
    });
    return this.opening;
  }

  join(user: LinkUser): void {
    this.users.add(user);
    if (this.connection !== undefined) user.up(this.connection, this.frames);
  }

  leave(user: LinkUser): void {
    this.users.delete(user);
  }

  async close(): Promise<void> {
    this.stopped = true;
    this.alarm.wake();
    const { connection } = this;
    this.connection = undefined;
    if (connection !== undefined)
      await settledWithin(
        quietly(() => connection.close()),
        CLOSE_WITHIN,
      );
  }

  /** A channel of its own for what may fail: a refused declaration closes the channel that it was asked on. */
  async withChannel<T>(use: (channel: Channel) => Promise<T>): Promise<T> {
    const { connection } = this;
    if (connection === undefined) throw new Error('the connection is lost');
    const channel = await connection.createChannel();
    channel.on('error', ignore);
    try {
      const result = await use(channel);
      await closed(channel);
      return result;
    } catch (error) {
      void quietly(() => channel.close());
      throw error;
    }
  }

  private async tryToOpen(): Promise<void> {
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        return await this.connect();
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined && !(isVhost(error) && attempt < VHOST_ATTEMPTS)) throw final;
        this.watcher.down(this, error);
        await this.alarm.sleep(backoff(attempt, 100, MOST_PAUSE));
      }
    }
    throw new EventingError('EVT_NOT_RUNNING', 'The RabbitMQ provider was stopped before it was connected.');
  }

  private async reopen(): Promise<void> {
    for (let attempt = 1; !this.stopped; attempt++) {
      await this.alarm.sleep(backoff(attempt, 50, MOST_PAUSE));
      if (this.stopped) return;
      try {
        return await this.connect();
      } catch (error) {
        this.watcher.down(this, error);
        if (hopeless(error) !== undefined) await this.alarm.sleep(backoff(attempt, MOST_PAUSE, REFUSED_PAUSE));
      }
    }
  }

  private async connect(): Promise<void> {
    const { servers, tls, heartbeat, connectionTimeout } = this.options;
    const server = servers[this.next++ % servers.length];
    if (server === undefined) return;
    const { host: hostname, port, username, password, vhost } = server;
    const connection = await connect(
      {
        protocol: tls === undefined ? 'amqp' : 'amqps',
        hostname,
        port,
        username,
        password,
        vhost: encodeURIComponent(vhost),
        heartbeat: heartbeat / 1_000,
      },
      { ...tls, noDelay: true, timeout: connectionTimeout, clientProperties: { connection_name: this.connectionName } },
    );
    connection.on('error', ignore);
    if (this.stopped) return void quietly(() => connection.close());
    connection.once('close', (cause?: Error) => this.lost(connection, cause));
    connection.on('blocked', (reason: string) =>
      this.logger.warn(`RabbitMQ takes no messages for now (${reason.slice(0, 200)}): sends wait.`),
    );
    connection.on('unblocked', () => this.logger.log('RabbitMQ takes messages again.'));
    this.connection = connection;
    this.frames = FrameReader.of(connection);
    this.watcher.up(this);
    for (const user of this.users) user.up(connection, this.frames);
  }

  private lost(connection: ChannelModel, cause: Error | undefined): void {
    if (this.connection !== connection) return;
    this.connection = undefined;
    for (const user of this.users) user.down();
    if (this.stopped) return;
    this.watcher.down(this, cause ?? connectionError(new Error('the connection was closed')));
    void this.reopen();
  }
}

function isVhost(error: unknown): boolean {
  return error instanceof Error && error.message.includes('Expected ConnectionOpenOk');
}

/** For what is over anyway: a connection that is gone throws instead of rejecting. */
export async function quietly(close: () => Promise<unknown>): Promise<void> {
  try {
    await close();
  } catch {
    // It is gone already.
  }
}

/** Closes a channel. amqplib waits for the broker's answer for ever if the connection ends before it; the channel's end will do then. */
function closed(channel: Channel): Promise<void> {
  return new Promise((resolve) => {
    channel.once('close', resolve);
    void quietly(() => channel.close()).then(resolve);
  });
}

export function ignore(): void {
  // What went wrong also closes, and that is heard.
}
