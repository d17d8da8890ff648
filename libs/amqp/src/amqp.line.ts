import { Alarm, backoff } from 'nestjs-eventing';
import type { AmqpConnection } from './amqp.connection.js';
import { hopeless } from './amqp.errors.js';

/** A connection that ends sooner did not count as one: the pauses before the next ones grow. Milliseconds. */
const STEADY = 2_000;

export interface LineEvents {
  up(): void;
  down(cause: Error): void;
}

/** Keeps one connection to the broker: when it ends, it makes another one, with pauses, until it is stopped. */
export class AmqpLine {
  connection: AmqpConnection | undefined;
  private readonly alarm = new Alarm();
  private readonly waiters = new Set<() => void>();
  private running: Promise<void> | undefined;
  private stopped = false;
  private attempt = 0;

  constructor(
    private readonly open: () => Promise<AmqpConnection>,
    private readonly events: LineEvents,
  ) {}

  /** Resolves with the first connection; rejects, and gives up, for what waiting will not mend, and for `stop()`. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.running = this.run(resolve).catch(reject);
      void this.running.then(() => reject(new Error('stopped')));
    });
  }

  /** The next connection, or the present one; undefined once it is stopped. */
  async next(): Promise<AmqpConnection | undefined> {
    while (this.connection === undefined && !this.stopped)
      await new Promise<void>((resolve) => this.waiters.add(resolve));
    return this.connection;
  }

  async stop(): Promise<void> {
    this.stopped = true;
    this.alarm.wake();
    await this.connection?.close();
    this.tell();
    await this.running;
  }

  private async run(first: () => void): Promise<void> {
    let opened = false;
    while (!this.stopped) {
      const began = Date.now();
      let cause: Error;
      try {
        const connection = await this.open();
        if (this.stopped) {
          await connection.close();
          return;
        }
        opened = true;
        this.connection = connection;
        first();
        this.events.up();
        this.tell();
        cause = await new Promise<Error>((resolve) => connection.onLost(resolve));
        this.connection = undefined;
        if (Date.now() - began > STEADY) this.attempt = 0;
      } catch (error) {
        cause = error as Error;
        const final = hopeless(error);
        if (final !== undefined && !opened) throw final;
      }
      if (this.stopped) return;
      this.events.down(cause);
      await this.alarm.sleep(backoff(++this.attempt, 100, 5_000));
    }
  }

  private tell(): void {
    const waiters = [...this.waiters];
    this.waiters.clear();
    for (const fn of waiters) fn();
  }
}
