import type { ChannelModel } from 'amqplib';
import { Alarm, backoff, EventingError, type ProviderContext, settledWithin, type Settlement, type Subscriber } from 'nestjs-eventing'; // prettier-ignore
import { CrashNotes } from './crash.notes.js';
import { CrashSuspects } from './crash.suspects.js';
import type { FrameReader } from './frame.reader.js';
import type { PublishQueue } from './publish.queue.js';
import { QueueReader, type ReaderHost } from './queue.reader.js';
import type { RabbitDelivery } from './rabbit.delivery.js';
import { connectionError, hopeless } from './rabbit.errors.js';
import { ignore, type LinkUser, quietly, type RabbitLink } from './rabbit.link.js';
import type { ResolvedRabbitOptions } from './rabbit.options.js';
import type { QueuePlan, RabbitTopology } from './rabbit.topology.js';

export interface SourceParts {
  readonly options: ResolvedRabbitOptions;
  readonly context: ProviderContext;
  readonly link: RabbitLink;
  readonly topology: RabbitTopology;
  readonly publisher: PublishQueue;
  /** Resolves when the message is safe in its new place. */
  move(plan: QueuePlan, delivery: RabbitDelivery, settlement: Exclude<Settlement, { readonly kind: 'accept' | 'release' }>): Promise<void>; // prettier-ignore
}

const LONGEST_PAUSE = 5_000;
/** For what is put down at the end; without it something is blamed wrongly, and nothing is lost. */
const NOTE_WITHIN = 1_000;

/** One queue of a subscription: reads it, and begins anew on each connection. */
export class QueueSource implements ReaderHost, LinkUser {
  readonly suspects: CrashSuspects;
  readonly clock;
  readonly ackInterval: number;
  readonly ackThreshold: number;
  private reader: QueueReader | undefined;
  private connection: ChannelModel | undefined;
  private frames: FrameReader | undefined;
  private working = false;
  private stopped = false;
  private isPaused = false;
  /** Losses in a row. */
  private failures = 0;
  private readonly alarm = new Alarm();
  private readonly prefetch: number;
  /** Until it is read for the first time. */
  private starting: { readonly begun: () => void; readonly refused: (error: EventingError) => void } | undefined;
  private complained = '';

  constructor(
    private readonly parts: SourceParts,
    private readonly plan: QueuePlan,
    readonly window: number,
    private readonly subscriber: Subscriber,
  ) {
    const { options, context, link, publisher } = parts;
    const counted = plan.ordered && plan.durable;
    this.suspects = new CrashSuspects(counted ? new CrashNotes(plan.queue, link, publisher) : undefined);
    this.clock = context.clock;
    // A quorum queue keeps the order of what comes back only if one reader has all of it: so its prefetch must not shrink.
    this.prefetch = Math.min(counted ? Math.max(options.prefetch, window) : window, 65_535);
    this.ackInterval = options.ackInterval;
    this.ackThreshold = Math.max(1, Math.min(options.ackThreshold, Math.floor(this.prefetch / 4)));
  }

  get queue(): string {
    return this.plan.queue;
  }

  get channel(): string {
    return this.plan.channel;
  }

  get paused(): boolean {
    return this.isPaused;
  }

  /** Resolves when the queue is there, bound and read. */
  start(): Promise<void> {
    const started = new Promise<void>((begun, refused) => {
      this.starting = { begun, refused };
    });
    this.parts.link.join(this);
    return started;
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
    this.reader?.feed();
  }

  async lag(): Promise<number> {
    const { messageCount } = await this.parts.link.withChannel((channel) => channel.checkQueue(this.queue));
    return messageCount + (this.reader?.unsettled ?? 0);
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    this.stopped = true;
    this.parts.link.leave(this);
    this.alarm.wake();
    const text = 'The subscription was stopped before it began.';
    this.starting?.refused(new EventingError('EVT_NOT_RUNNING', text));
    const { reader } = this;
    this.reader = undefined;
    await reader?.close(async (head) => {
      await settledWithin(this.suspects.acquit(head), NOTE_WITHIN);
      const { durable, own } = this.plan;
      if (!durable)
        await settledWithin(
          quietly(() => reader.discard(!own)),
          NOTE_WITHIN,
        );
    });
  }

  up(connection: ChannelModel, frames: FrameReader | undefined): void {
    this.connection = connection;
    this.frames = frames;
    void this.begin();
  }

  down(): void {
    this.connection = undefined;
    this.alarm.wake();
  }

  hand(delivery: RabbitDelivery): void {
    this.subscriber.deliver(delivery);
  }

  move(
    delivery: RabbitDelivery,
    settlement: Exclude<Settlement, { readonly kind: 'accept' | 'release' }>,
  ): Promise<void> {
    // prettier-ignore
    return this.parts.move(this.plan, delivery, settlement);
  }

  ended(reader: QueueReader, cause: Error | undefined): void {
    if (this.reader !== reader) return;
    this.reader = undefined;
    if (this.stopped) return;
    if (cause !== undefined) this.complain(cause);
    this.failures++;
    // No message of it is handed over again while listeners are still at work on the old ones.
    void this.subscriber.revoked([this.queue]).then(() => this.begin());
  }

  private async begin(): Promise<void> {
    if (this.working || this.reader !== undefined) return;
    this.working = true;
    try {
      while (!this.stopped && this.reader === undefined) {
        const { connection } = this;
        if (connection === undefined) return;
        if (this.failures > 0) await this.alarm.sleep(backoff(this.failures, 20, LONGEST_PAUSE));
        if (this.stopped || this.connection !== connection) continue;
        try {
          await this.read(connection);
        } catch (error) {
          this.failed(error);
        }
      }
    } finally {
      this.working = false;
    }
  }

  private async read(connection: ChannelModel): Promise<void> {
    const { link, topology } = this.parts;
    await topology.ensureChannels(link, [this.channel]);
    // Of a process that died and had the same name: what it left is not for this one.
    if (this.plan.own && this.starting !== undefined)
      await link.withChannel((channel) => channel.deleteQueue(this.queue));
    await link.withChannel((channel) => topology.ensureQueue(channel, this.plan));
    const channel = await connection.createChannel();
    channel.on('error', ignore);
    const reader = new QueueReader(channel, this.frames, this);
    this.reader = reader;
    try {
      await reader.consume(this.prefetch);
    } catch (error) {
      if (this.reader === reader) this.reader = undefined;
      void quietly(() => channel.close());
      throw error;
    }
    if (this.stopped) return void quietly(() => channel.close());
    this.failures = 0;
    this.complained = '';
    this.starting?.begun();
    this.starting = undefined;
  }

  private failed(error: unknown): void {
    this.failures++;
    const final = hopeless(error);
    if (final !== undefined && this.starting !== undefined) this.starting.refused(final);
    else if (this.connection !== undefined) this.complain(error);
  }

  /** Once for each thing that is wrong, not at each attempt. */
  private complain(error: unknown): void {
    const { message } = connectionError(error);
    if (message === this.complained) return;
    this.complained = message;
    this.parts.context.logger.warn(`${this.queue} is not read for now: ${message}`);
  }
}
