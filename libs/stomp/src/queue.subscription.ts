import { Alarm, backoff, EventingError, type Subscriber, type Subscription, type SubscriptionHandle, settledWithin } from 'nestjs-eventing'; // prettier-ignore
import { AckBatch } from './ack.batch.js';
import { processQueue, qualified, sharedQueue } from './broker.names.js';
import { headerOf } from './frame.reader.js';
import { decodeMessage } from './message.codec.js';
import { ReconnectPace } from './reconnect.pace.js';
import { SetAsideMessages } from './set-aside.messages.js';
import { QueueSource, type SourceHost } from './queue.source.js';
import { StompConnection, subscribeHead } from './stomp.connection.js';
import { connectionError, hopeless } from './stomp.errors.js';
import type { ProviderParts } from './stomp.parts.js';

/** How long a queue that ends with its processes waits for one that lost its connection. */
const GRACE = 60_000;
/** The longest that a stopping subscription waits for the broker. */
const LAST_WORDS = 3_000;
/** The longest that a message too large to be read waits for those that are in work. */
const LAST_LISTENERS = 30_000;

/** What the broker says where it could not hand a message over, and blames the consumer. */
const BROKER_FAILED = /disconnected by server/;
/** Windows after which there was nothing wrong with any message. */
const CAUTION = 4;

interface Life {
  readonly connection: StompConnection;
  readonly acks: AckBatch;
  readonly sources: readonly QueueSource[];
}

/** A subscription: one queue for each channel, all on one connection, and another connection when that is lost. */
export class QueueSubscription implements SubscriptionHandle {
  private readonly queues: readonly { readonly channel: string; readonly name: string }[];
  private readonly aside: SetAsideMessages;
  private readonly alarm = new Alarm();
  private life: Life | undefined;
  private paused = false;
  private stopped = false;
  private stopping: Promise<void> | undefined;
  private running: Promise<void> = Promise.resolve();
  private beginning: Promise<void> | undefined;
  /** Messages are taken one at a time, to find the one that the broker cannot hand over. */
  private cautious = false;

  constructor(
    private readonly parts: ProviderParts,
    private readonly subscription: Subscription,
    private readonly subscriber: Subscriber,
  ) {
    this.aside = new SetAsideMessages(parts);
    const { service, instance } = parts.context;
    const { name: subscription_, perProcess } = subscription;
    this.queues = [...new Set(subscription.channels)].map((channel) => {
      const owner = { channel, service, subscription: subscription_ };
      return { channel, name: perProcess ? processQueue(owner, instance) : sharedQueue(owner) };
    });
  }

  /** Resolves when the queues are there. Rejects for what waiting will not mend. */
  async start(): Promise<void> {
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        await this.declare();
        await this.connect();
        this.running = this.run();
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === 1) this.parts.status.down(this, connectionError(error));
        await this.alarm.sleep(backoff(attempt));
      }
    }
    throw new EventingError('EVT_NOT_RUNNING', 'The subscription was stopped before it was connected.');
  }

  pause(): void {
    this.paused = true;
    for (const source of this.life?.sources ?? []) source.pause(true);
  }

  resume(): void {
    this.paused = false;
    for (const source of this.life?.sources ?? []) source.pause(false);
  }

  async lag(): Promise<number> {
    this.life?.acks.flush();
    const { management } = this.parts;
    try {
      const counts = await Promise.all(
        this.queues.map(({ name }) => management.call(`queue.${name}`, 'countMessages')),
      );
      return counts.reduce<number>((sum, count) => sum + Number(count), 0);
    } catch (error) {
      throw connectionError(error);
    }
  }

  stop(): Promise<void> {
    this.stopping ??= this.end();
    return this.stopping;
  }

  private async end(): Promise<void> {
    this.stopped = true;
    this.alarm.wake();
    const { life } = this;
    if (life !== undefined) {
      for (const source of life.sources) source.end();
      life.acks.flush();
      await settledWithin(this.leave(life), LAST_WORDS);
      life.connection.destroy();
    }
    await this.running;
    this.parts.status.forget(this);
  }

  /** After UNSUBSCRIBE the broker has everything back, in order; a queue that ends with its processes is gone if this was the last. */
  private async leave({ connection }: Life): Promise<void> {
    try {
      await Promise.all(this.queues.map((_, index) => connection.request(`UNSUBSCRIBE\nid:${index}\n`)));
    } catch {
      // Others consume from a queue that is not durable: it stays, and the broker ends the connection.
    }
    await connection.close();
  }

  private async declare(): Promise<void> {
    const { perProcess, durable, ordered } = this.subscription;
    const { topology } = this.parts;
    await topology.addresses(this.queues.map(({ channel }) => channel));
    const lasting = durable && !perProcess;
    await Promise.all(
      this.queues.map(({ channel, name }) =>
        topology.queue({
          name,
          address: channel,
          routing: 'MULTICAST',
          durable: lasting,
          exclusive: ordered && !perProcess,
          ...(lasting ? {} : { autoDelete: GRACE }),
        }),
      ),
    );
  }

  private async connect(): Promise<void> {
    const { options, context, status } = this.parts;
    const { window } = this.subscription;
    const byId = new Map<string, QueueSource>();
    let taken = 0;
    const connection = await StompConnection.open(options, context.clock, {
      message: (frame) => {
        const message = decodeMessage(frame, context.clock.now());
        const source = byId.get(message.subscription);
        if (message.bodiless && source !== undefined)
          this.setAside(source, message.number, 'it is a map, which STOMP cannot say.');
        else source?.take(message);
        if (this.cautious && ++taken > window * CAUTION) {
          this.cautious = false;
          this.beginning ??= this.beginAnew().finally(() => (this.beginning = undefined));
        }
      },
      oversized: (head, bytes) => {
        const source = byId.get(headerOf(head, 'subscription') ?? '');
        const number = headerOf(head, 'message-id')?.split(',')[1];
        const reason = `it has ${bytes} bytes, and \`maxFrameBytes\` is ${options.maxFrameBytes}. Raise the option, and move it back.`;
        if (source !== undefined && number !== undefined) this.setAside(source, number, reason);
      },
    });
    const acks = new AckBatch(connection, {
      interval: options.ackInterval,
      threshold: options.ackThreshold,
      clock: context.clock,
    });
    const host = this.host();
    const sources = this.queues.map(({ channel, name }) => new QueueSource(channel, name, window, acks, host));
    for (const [index, source] of sources.entries()) byId.set(String(index), source);
    // Before the first message can come.
    this.life = { connection, acks, sources };
    for (const source of sources) source.pause(this.paused);
    try {
      if (this.stopped) throw new EventingError('EVT_NOT_RUNNING', 'The subscription was stopped.');
      await Promise.all(
        this.queues.map(({ channel, name }, index) =>
          connection.request(
            subscribeHead(String(index), qualified(channel, name), {
              'subscription-type': 'MULTICAST',
              ack: 'client-individual',
              // 0 is one message at a time.
              'consumer-window-size': String(window === 1 || this.cautious ? 0 : window * options.bytesPerMessage),
            }),
          ),
        ),
      );
    } catch (error) {
      for (const source of sources) source.end();
      connection.destroy();
      await connection.ended;
      throw error;
    }
    status.up(this);
  }

  /** Until it is stopped: waits for the end of the connection, and makes another. */
  private async run(): Promise<void> {
    const { clock } = this.parts.context;
    const pace = new ReconnectPace();
    for (;;) {
      const life = this.life as Life;
      const began = clock.now();
      const fault = await life.connection.ended;
      const pause = pace.after(clock.now() - began, life.acks.count > 0);
      const isIdle = life.sources.every((source) => source.isIdle);
      for (const source of life.sources) source.end();
      if (this.stopped) return;
      this.parts.status.down(this, connectionError(fault));
      // Another process may have it all by now: nothing is to run here when it comes back.
      await this.subscriber.revoked(life.sources.map(({ name }) => name));
      if (BROKER_FAILED.test(fault.text)) await this.suspect(fault.text, isIdle);
      if (pause > 0) await this.alarm.sleep(pause);
      await this.reconnect();
      if (this.stopped) return;
    }
  }

  private async reconnect(): Promise<void> {
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        await this.declare();
        await this.aside.move();
        await this.connect();
        return;
      } catch (error) {
        if (attempt === 1 && hopeless(error) !== undefined)
          this.parts.context.logger.error(
            `${this.subscription.name} cannot go on for now: ${connectionError(error).message}`,
          );
        await this.alarm.sleep(backoff(attempt));
      }
    }
  }

  /** The broker dropped the consumer: because of a message that it cannot write as STOMP, unless an administrator did so. */
  private async suspect(text: string, isIdle: boolean): Promise<void> {
    const queue = this.queues.find(({ name }) => text.includes(`name=${name},`))?.name;
    const found = this.cautious && isIdle && queue !== undefined;
    this.cautious = !found;
    if (found) await this.aside.addFirstOf(queue);
  }

  private setAside(source: QueueSource, number: string, reason: string): void {
    this.aside.add({ queue: source.name, number, reason });
    this.beginning ??= this.beginAnew().finally(() => (this.beginning = undefined));
  }

  /** Gives everything back that is not in work, and takes it again on another connection. */
  private async beginAnew(): Promise<void> {
    const { life } = this;
    if (life === undefined || this.stopped) return;
    const { clock } = this.parts.context;
    for (const source of life.sources) source.pause(true);
    const end = clock.now() + LAST_LISTENERS;
    while (!life.sources.every(({ isIdle }) => isIdle) && !life.connection.isOver && clock.now() < end)
      await new Promise<void>((resolve) => clock.setTimeout(resolve, 20));
    if (life.connection.isOver || this.stopped) return;
    life.acks.flush();
    for (const source of life.sources) source.end();
    await this.leave(life);
  }

  private host(): SourceHost {
    const { parts } = this;
    return {
      now: () => parts.context.clock.now(),
      deliver: (delivery) => this.subscriber.deliver(delivery),
      defer: ({ channel, name }, message, { notBefore, attempt }) =>
        parts.publisher.publishOne({
          destination: qualified(channel, name),
          routing: undefined,
          durable: message.durable,
          time: message.time,
          key: message.key,
          headers: message.headers,
          body: message.body,
          deferred: { notBefore, attempt },
        }),
      reject: ({ letter }) => parts.deadLetters.append(letter),
    };
  }
}
