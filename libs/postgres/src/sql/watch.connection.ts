import { Alarm, backoff } from 'nestjs-eventing';
import type { Client } from 'pg';
import type { ConnectionWatcher } from './server.options.js';

type Heard = (payload: string | undefined) => void;

export interface WatchOptions {
  readonly livenessInterval: number;
  readonly livenessTimeout: number;
}

/**
 * The connection that listens. It also tells whether the server can be reached: it asks for a sign of life while nothing else comes, since
 * a server may be suspended without a connection that breaks. Once lost, it is made again for as long as it takes.
 */
export class WatchConnection {
  private readonly listeners = new Map<string, Set<Heard>>();
  private readonly alarm = new Alarm();
  private client: Client | undefined;
  private running: Promise<void> | undefined;
  private waiting: (() => void)[] = [];
  private closed = false;

  constructor(
    private readonly make: () => Client,
    private readonly options: WatchOptions,
    private readonly watcher: ConnectionWatcher,
  ) {}

  async listen(channel: string, heard: Heard): Promise<() => Promise<void>> {
    const listeners = this.listeners.get(channel) ?? new Set();
    this.listeners.set(channel, listeners.add(heard));
    this.running ??= this.run();
    const { client } = this;
    const listening = client?.query(`LISTEN ${client.escapeIdentifier(channel)}`).then(
      () => true,
      () => false,
    );
    // Where it breaks meanwhile, the next connection listens to all there is.
    if ((await listening) !== true) await new Promise<void>((resolve) => this.onConnected(resolve));
    return async () => {
      listeners.delete(heard);
    };
  }

  async close(): Promise<void> {
    this.closed = true;
    this.client?.connection.stream.destroy();
    this.alarm.wake();
    this.connected();
    await this.running;
  }

  private onConnected(resolve: () => void): void {
    if (this.closed) resolve();
    else this.waiting.push(resolve);
  }

  private connected(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }

  private async run(): Promise<void> {
    for (let attempt = 1; !this.closed; attempt++) {
      const client = this.make();
      try {
        await this.open(client);
        attempt = 0;
        await this.live(client);
      } catch (error) {
        if (!this.closed) this.watcher.down(error instanceof Error ? error : new Error(String(error)));
      }
      this.client = undefined;
      client.connection.stream.destroy();
      if (!this.closed) await this.alarm.sleep(backoff(attempt + 1, 50, 3_000));
    }
  }

  private async open(client: Client): Promise<void> {
    client.on('error', () => undefined);
    client.on('notification', ({ channel, payload }) => {
      for (const heard of this.listeners.get(channel) ?? []) heard(payload);
    });
    await client.connect();
    for (const channel of this.listeners.keys()) await client.query(`LISTEN ${client.escapeIdentifier(channel)}`);
    if (this.closed) return;
    this.client = client;
    this.watcher.up();
    for (const listeners of this.listeners.values()) for (const heard of listeners) heard(undefined);
    this.connected();
  }

  /** Rejects when the connection is gone, or silent for too long. */
  private async live(client: Client): Promise<void> {
    let end: (error: Error) => void = () => undefined;
    const ended = new Promise<never>((_resolve, reject) => (end = reject));
    ended.catch(() => undefined);
    client.once('error', end);
    client.once('end', () => end(new Error('the connection was closed')));
    while (!this.closed) {
      await within(this.options.livenessInterval, ended, () => undefined);
      if (this.closed) return;
      const { livenessTimeout } = this.options;
      await within(livenessTimeout, Promise.race([ended, client.query('SELECT 1')]), () => {
        throw new Error(`the server did not answer within ${livenessTimeout} ms`);
      });
    }
  }
}

/** As the promise goes, or as `late` says when the time is over. */
async function within(ms: number, promise: Promise<unknown>, late: () => void): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const time = new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))).then(late);
  try {
    await Promise.race([promise, time]);
  } finally {
    clearTimeout(timer);
  }
}
