import { Alarm, backoff, EventingError, type ProviderContext, type Subscriber, type Subscription, type SubscriptionHandle } from 'nestjs-eventing'; // prettier-ignore
import type { AmqpLine } from './amqp.line.js';
import { connectionError, hopeless } from './amqp.errors.js';
import type { ResolvedAmqpOptions } from './amqp.options.js';
import type { ListenerQueue } from './broker.dialect.js';
import { QueueLink, type QueueLinkParts } from './queue.link.js';

export interface SubscriptionParts extends Omit<QueueLinkParts, 'remembered'> {
  readonly context: ProviderContext;
  readonly options: ResolvedAmqpOptions;
  readonly line: AmqpLine;
}

/** One queue of a subscription: made, consumed from, and again after each loss, until it is stopped. */
export class QueueReader {
  private readonly alarm = new Alarm();
  private readonly remembered = new Map<string, number>();
  private link: QueueLink | undefined;
  private running: Promise<void> | undefined;
  private stopped = false;
  private paused = false;
  private tellStopped: (() => void) | undefined;
  private readonly stopping = new Promise<undefined>((resolve) => {
    this.tellStopped = () => resolve(undefined);
  });

  constructor(
    private readonly parts: SubscriptionParts,
    readonly queue: ListenerQueue,
    private readonly window: number,
    private readonly subscriber: Subscriber,
  ) {}

  /** Resolves when the queue is there and consumed from; rejects for what waiting will not mend. */
  start(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.running = this.run(resolve).catch(reject);
      void this.running.then(() => reject(new EventingError('EVT_NOT_RUNNING', `${this.queue.name} was stopped.`)));
    });
  }

  pause(): void {
    this.paused = true;
    this.link?.pause();
  }

  resume(): void {
    this.paused = false;
    this.link?.resume();
  }

  async lag(): Promise<number> {
    return this.queue.count(this.link?.unsettled ?? 0);
  }

  async stop(): Promise<void> {
    if (this.stopped) return this.running;
    this.stopped = true;
    this.tellStopped?.();
    this.alarm.wake();
    await this.link?.close();
    await this.running;
    await this.queue.left().catch(() => undefined);
  }

  private async run(first: () => void): Promise<void> {
    let began = false;
    for (let attempt = 0; !this.stopped;) {
      const connection = await Promise.race([this.parts.line.next(), this.stopping]);
      if (connection === undefined || this.isStopped()) return;
      let cause: Error;
      try {
        const lost = new Promise<Error>((resolve) => {
          this.link = this.newLink(resolve);
        });
        const link = this.link as QueueLink;
        await this.queue.declare();
        if (this.isStopped()) return;
        // What is wrong with the queue tells more than why there is no link to it.
        const refused = await link.attach(connection).then(
          () => undefined,
          (error: Error) => error,
        );
        await this.queue.verify(refused);
        if (refused !== undefined) throw refused;
        if (this.isStopped()) return await link.close();
        link.begin();
        began = true;
        attempt = 0;
        first();
        cause = await lost;
      } catch (error) {
        await this.link?.close();
        const final = hopeless(error);
        if (final !== undefined && !began) throw final;
        cause = error as Error;
      }
      if (this.isStopped()) return;
      if (began) {
        const { name } = this.queue;
        if (!connection.isLost)
          this.parts.context.logger.warn(
            `${connectionError(cause).code}: ${name} is not consumed from for now: ${cause.message}`,
          );
        await this.subscriber.revoked([name]);
      }
      if (!connection.isLost || attempt > 0) await this.alarm.sleep(backoff(++attempt, 50, 5_000));
    }
  }

  private newLink(ended: (cause: Error) => void): QueueLink {
    const { parts, queue, window, subscriber, remembered } = this;
    const { clock } = parts.context;
    const { settleInterval } = parts.options;
    const { channel, name, address } = queue;
    const what = { channel, queue: name, address, window, settleInterval, clock };
    const { publisher, appendLetter } = parts;
    return new QueueLink(what, { publisher, appendLetter, remembered }, subscriber, this.paused, (cause) => {
      ended(cause);
    });
  }

  /** By another call, in the meantime. */
  private isStopped(): boolean {
    return this.stopped;
  }
}

/** A subscription: a queue for each of its channels. */
export class AmqpSubscription implements SubscriptionHandle {
  private readonly readers: readonly QueueReader[];
  private stopping: Promise<void> | undefined;

  constructor(
    parts: SubscriptionParts,
    queues: readonly ListenerQueue[],
    { window }: Subscription,
    subscriber: Subscriber,
  ) {
    this.readers = queues.map((queue) => new QueueReader(parts, queue, window, subscriber));
  }

  async start(): Promise<void> {
    await Promise.all(this.readers.map((reader) => reader.start()));
  }

  pause(): void {
    for (const reader of this.readers) reader.pause();
  }

  resume(): void {
    for (const reader of this.readers) reader.resume();
  }

  async lag(): Promise<number> {
    const lags = await Promise.all(this.readers.map((reader) => reader.lag()));
    return lags.reduce((sum, lag) => sum + lag, 0);
  }

  stop(): Promise<void> {
    this.stopping ??= Promise.all(this.readers.map((reader) => reader.stop())).then(
      () => undefined,
      () => undefined,
    );
    return this.stopping;
  }
}
