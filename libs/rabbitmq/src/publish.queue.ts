import type { ChannelModel, ConfirmChannel, Message } from 'amqplib';
import { Alarm, backoff, type Clock, type ErrorCode, EventingError, type ProviderLogger, PublishCall, type PublishFailure, settledWithin, type Timer } from 'nestjs-eventing'; // prettier-ignore
import { ChannelWriter } from './channel.writer.js';
import { type Parcel, QueuedParcel } from './parcel.js';
import { connectionError, refused } from './rabbit.errors.js';
import { ignore, type LinkUser } from './rabbit.link.js';
import { UnconfirmedWindow } from './unconfirmed.window.js';

export interface PublishQueueOptions {
  /** Milliseconds. */
  readonly publishTimeout: number;
  readonly maxUnconfirmed: number;
  readonly clock: Clock;
  readonly logger: ProviderLogger;
  /** Makes sure that what is sent to is there, before the first message on a new connection. */
  ready(): Promise<void>;
  /** An exchange is not there any more. Rejects with an `EventingError` where it will not be again. */
  missing(exchange: string): Promise<void>;
}

const STOPPED = 'The RabbitMQ provider is stopped.';
/** Bodies written and not confirmed, beyond which more wait. */
const MOST_BYTES = 64 * 1024 * 1024;

/**
 * Keeps messages in the order of their calls, has many of them under way at a time, and sends again, in order, what was not confirmed
 * when a connection was lost. What holds: a message whose call resolved is stored, and stored once unless a connection was lost
 * before its confirmation arrived; messages of one channel and key are stored in call order, judged by the first copy of each.
 */
export class PublishQueue implements LinkUser {
  private parcels: QueuedParcel[] = [];
  /** What is before it was written to the present channel. */
  private next = 0;
  private unconfirmed = new UnconfirmedWindow();
  private channel: ConfirmChannel | undefined;
  private connection: ChannelModel | undefined;
  private writer: ChannelWriter | undefined;
  private congested = false;
  private closed = false;
  /** Channels lost in a row without a confirmation in between. */
  private losses = 0;
  private lastError: Error | undefined;
  private readonly alarm = new Alarm();
  private readonly calls: PublishCall<QueuedParcel>[] = [];
  private firstCall = 0;
  private expiry: Timer | undefined;
  private idle: (() => void) | undefined;

  constructor(private readonly options: PublishQueueOptions) {}

  /** Resolves when each is stored or has failed. Never rejects. */
  publish(parcels: readonly Parcel[]): Promise<readonly PublishFailure[]> {
    return new Promise((resolve) => {
      const { clock, publishTimeout } = this.options;
      const call = new PublishCall<QueuedParcel>(parcels.length, clock.now() + publishTimeout, resolve);
      for (let index = 0; index < parcels.length; index++) {
        const queued = new QueuedParcel(call, index, parcels[index] as Parcel);
        call.messages.push(queued);
        this.parcels.push(queued);
      }
      if (this.closed) return this.giveUp(call, 'EVT_NOT_RUNNING', STOPPED);
      this.calls.push(call);
      this.write();
      if (this.expiry === undefined) this.watch();
    });
  }

  /** Rejects with the error of the one message. */
  async publishOne(parcel: Parcel): Promise<void> {
    const [failure] = await this.publish([parcel]);
    if (failure !== undefined) throw failure.error;
  }

  up(connection: ChannelModel): void {
    this.connection = connection;
    void this.open(connection);
  }

  down(): void {
    this.connection = undefined;
    this.alarm.wake();
    this.lost();
  }

  /** Takes nothing more. Resolves when everything taken is answered, at the latest after `patience` milliseconds. */
  async close(patience: number): Promise<void> {
    this.closed = true;
    if (this.hasOpenCalls()) await settledWithin(new Promise<void>((resolve) => (this.idle = resolve)), patience);
    this.expiry?.cancel();
    for (const call of this.calls)
      this.giveUp(call, 'EVT_NOT_RUNNING', `${STOPPED} RabbitMQ had not confirmed the event.`);
    this.connection = undefined;
    this.alarm.wake();
  }

  private async open(connection: ChannelModel): Promise<void> {
    while (this.connection === connection && this.channel === undefined) {
      try {
        await this.options.ready();
        if (this.connection !== connection) return;
        this.take(await connection.createConfirmChannel());
      } catch (error) {
        this.lastError = error as Error;
        await this.alarm.sleep(backoff(++this.losses, 50, 5_000));
      }
    }
  }

  private take(channel: ConfirmChannel): void {
    let cause: Error | undefined;
    channel.on('error', (error: Error) => (cause = error));
    channel.on('close', () => {
      if (this.channel !== channel) return;
      this.lost();
      void this.again(cause);
    });
    channel.on('ack', ({ deliveryTag, multiple }) => this.answered(deliveryTag, multiple, true));
    channel.on('nack', ({ deliveryTag, multiple }) => this.answered(deliveryTag, multiple, false));
    channel.on('return', (message: Message) => this.returned(message));
    channel.on('drain', () => {
      this.congested = false;
      this.write();
    });
    this.channel = channel;
    this.writer = new ChannelWriter(channel);
    this.congested = false;
    this.unconfirmed = new UnconfirmedWindow();
    this.write();
  }

  private write(): void {
    const { writer, parcels, unconfirmed } = this;
    if (writer === undefined) return;
    const most = this.options.maxUnconfirmed;
    while (!this.congested && this.next < parcels.length && unconfirmed.size < most && unconfirmed.bytes < MOST_BYTES) {
      const queued = parcels[this.next++] as QueuedParcel;
      if (queued.done) continue;
      try {
        this.congested = !writer.write(queued.parcel);
      } catch (error) {
        // The channel is on its way out and refuses everything: it is no fault of this message.
        if (error instanceof Error && error.name === 'IllegalOperationError') {
          this.next--;
          return;
        }
        const { message } = error as Error;
        this.refuse(queued, 'EVT_PUBLISH_FAILED', `An event for ${queued.parcel.channel} cannot be sent: ${message}.`, error); // prettier-ignore
        continue;
      }
      queued.written = true;
      unconfirmed.add(queued);
    }
    if (!writer.flush()) this.congested = true;
    this.forgetWritten();
  }

  private answered(tag: number, multiple: boolean, stored: boolean): void {
    this.losses = 0;
    for (const queued of this.unconfirmed.take(tag, multiple)) {
      const { call, parcel } = queued;
      if (queued.returned) {
        const text = `Nobody has a queue for what was sent to ${parcel.routingKey} (${parcel.channel}).`;
        this.refuse(queued, 'EVT_PUBLISH_FAILED', text);
      } else if (stored) call.stored(queued);
      else {
        const text = `RabbitMQ did not take an event for ${parcel.channel}: a queue is full, or cannot be reached. Others of the same channel may have it.`;
        call.failed(queued, new EventingError('EVT_PUBLISH_FAILED', text, { indeterminate: true }), true);
      }
    }
    this.forgetAnswered();
    if (this.next < this.parcels.length) this.write();
  }

  /** Comes before the confirmation of the same message, which does not tell of it. */
  private returned({ fields, properties }: Message): void {
    const messageId: unknown = properties.messageId;
    const queued = this.unconfirmed.find(
      ({ parcel, returned }) =>
        !returned &&
        parcel.mandatory &&
        parcel.routingKey === fields.routingKey &&
        (messageId === undefined || parcel.sent.id === messageId),
    );
    if (queued !== undefined) queued.returned = true;
  }

  /** What was written and not confirmed goes first, as it was. */
  private lost(): void {
    if (this.channel === undefined) return;
    this.channel.on('error', ignore);
    this.channel = this.writer = undefined;
    const unconfirmed = this.unconfirmed.drain().filter(({ done }) => !done);
    for (const queued of unconfirmed) queued.returned = false;
    this.parcels = [...unconfirmed, ...this.parcels.slice(this.next)];
    this.next = 0;
  }

  /** The broker closed the channel, and the connection is still there: it may say which messages it will not have. */
  private async again(cause: Error | undefined): Promise<void> {
    const { connection } = this;
    this.lastError = cause;
    await this.sortOut(cause);
    if (cause !== undefined && connection !== undefined)
      this.options.logger.warn(`RabbitMQ closed the channel for sending: ${connectionError(cause).message}`);
    // A connection that is lost closes its channels first: then there is nothing to open.
    await this.alarm.sleep(this.losses === 0 ? 5 : backoff(this.losses, 50, 5_000));
    this.losses++;
    if (connection !== undefined && this.connection === connection) await this.open(connection);
  }

  private async sortOut(cause: Error | undefined): Promise<void> {
    const what = refused(cause);
    if (what === undefined) return;
    const open = this.parcels.filter(({ done }) => !done);
    if (what.kind === 'size') {
      for (const queued of open)
        if (queued.parcel.body.length > what.most)
          this.refuse(
            queued,
            'EVT_BODY_TOO_LARGE',
            `An event for ${queued.parcel.channel} is larger than RabbitMQ allows (${what.most} bytes). Raise its \`max_message_size\`, or send less.`,
            cause,
          );
    } else if (what.kind === 'route') {
      for (const queued of open)
        if (
          queued.parcel.exchange === what.exchange &&
          (what.routingKey ?? queued.parcel.routingKey) === queued.parcel.routingKey
        )
          // prettier-ignore
          queued.call.failed(queued, what.error, false);
    } else {
      try {
        await this.options.missing(what.exchange);
      } catch (error) {
        if (!(error instanceof EventingError)) return;
        for (const queued of open)
          if (queued.parcel.exchange === what.exchange) queued.call.failed(queued, error, queued.written);
      }
    }
    this.forgetAnswered();
  }

  private refuse(queued: QueuedParcel, code: ErrorCode, text: string, cause?: unknown): void {
    queued.call.failed(queued, new EventingError(code, text, { cause }), false);
    if (!queued.call.open) this.forgetAnswered();
  }

  private giveUp(call: PublishCall<QueuedParcel>, code: ErrorCode, message: string): void {
    const cause = this.lastError;
    for (const queued of call.messages) {
      if (queued.done) continue;
      const indeterminate = queued.written;
      call.failed(queued, new EventingError(code, message, { indeterminate, cause }), indeterminate);
    }
  }

  private forgetWritten(): void {
    if (this.next < 1_024 && this.next < this.parcels.length) return;
    this.parcels = this.next === this.parcels.length ? [] : this.parcels.slice(this.next);
    this.next = 0;
  }

  private hasOpenCalls(): boolean {
    return this.calls.some((call) => call.open);
  }

  private forgetAnswered(): void {
    while (this.firstCall < this.calls.length && !(this.calls[this.firstCall] as PublishCall<QueuedParcel>).open)
      this.firstCall++;
    if (this.firstCall > 1_024 || this.firstCall === this.calls.length) {
      this.calls.splice(0, this.firstCall);
      this.firstCall = 0;
    }
    if (this.closed && !this.hasOpenCalls()) this.idle?.();
  }

  /** Deadlines are in call order, so one timer for the first open call is enough; it is not moved for each. */
  private watch(): void {
    this.expiry = undefined;
    const first = this.calls[this.firstCall];
    if (first === undefined) return;
    const { clock, publishTimeout } = this.options;
    const expire = (): void => {
      const why = this.lastError === undefined ? '' : `: ${connectionError(this.lastError).message}`;
      const text = `RabbitMQ did not confirm the event within ${publishTimeout / 1_000} s (\`publishTimeout\`)${why}`;
      for (let at = this.firstCall; at < this.calls.length; at++) {
        const call = this.calls[at] as PublishCall<QueuedParcel>;
        if (call.deadline > clock.now()) break;
        this.giveUp(call, 'EVT_PUBLISH_TIMEOUT', text);
      }
      this.forgetAnswered();
      this.watch();
    };
    this.expiry = clock.setTimeout(expire, Math.max(1, first.deadline - clock.now()));
  }
}
