import { randomBytes } from 'node:crypto';
import {
  type Clock,
  EventingError,
  type ErrorCode,
  PublishCall,
  type PublishFailure,
  settledWithin,
  type Timer,
} from 'nestjs-eventing';
import { encodeHead, type OutgoingFrame } from './message.codec.js';
import { QueuedMessage } from './queued.message.js';
import type { StompConnection } from './stomp.connection.js';
import { isFinal, refusal, StompFault } from './stomp.errors.js';

export interface PublishQueueOptions {
  /** Messages without a receipt. */
  readonly window: number;
  /** Milliseconds. */
  readonly publishTimeout: number;
  readonly clock: Clock;
}

const STOPPED = 'The STOMP provider is stopped.';
/** Messages for one receipt, at most: a receipt says that everything before it is stored too. */
const RECEIPT_EVERY = 128;
const MOST_SUSPICIONS = 3;
/** Bytes on their way to the network above which nothing more is written. */
const MOST_BACKLOG = 4 * 1024 * 1024;

/**
 * How sure we have to be. `batch`: one receipt for many. `each`: one for every message, after the broker refused one without
 * telling which. `single`: one message at a time, where even that did not tell.
 */
type Care = 'batch' | 'each' | 'single';
const MORE_CARE: Readonly<Record<Care, Care>> = { batch: 'each', each: 'single', single: 'single' };

/**
 * Messages in the order in which they were given, over however many connections. The broker handles the frames of a connection one
 * after the other and a receipt waits for all stores before it, so one receipt answers for everything up to it. An ERROR ends the
 * connection: what had no receipt is sent again, in order, and the broker passes over what it has, by an id of each message.
 */
export class PublishQueue {
  /** Not written to the present connection yet. */
  private waiting: QueuedMessage[] = [];
  private next = 0;
  /** Written and without a receipt, oldest first. */
  private unconfirmed: QueuedMessage[] = [];
  private readonly calls = new Set<PublishCall<QueuedMessage>>();
  private readonly tag = randomBytes(9).toString('base64url');
  private numbers = 0;
  private connection: StompConnection | undefined;
  private care: Care = 'batch';
  /** The last message for which care has to be taken. */
  private careUntil = 0;
  private expiry: Timer | undefined;
  private pumping = false;
  private closed = false;
  /** How often the broker ended the connection with one message on it, without saying that it was for that. */
  private suspicions = 0;
  private stored = 0;
  private idle: (() => void) | undefined;
  private lastFault: Error | undefined;

  constructor(private readonly options: PublishQueueOptions) {}

  /**
   * Resolves when each message is stored or has failed. Never rejects.
   * @param deadline milliseconds since 1970
   */
  publish(
    frames: readonly OutgoingFrame[],
    deadline = this.options.clock.now() + this.options.publishTimeout,
  ): Promise<readonly PublishFailure[]> {
    if (frames.length === 0) return Promise.resolve([]);
    if (this.closed) {
      const error = new EventingError('EVT_NOT_RUNNING', STOPPED);
      return Promise.resolve(frames.map((_, index) => ({ index, error, indeterminate: false })));
    }
    return new Promise((resolve) => {
      const call = new PublishCall<QueuedMessage>(frames.length, deadline, resolve);
      for (let index = 0; index < frames.length; index++) {
        const message = new QueuedMessage(call, index, frames[index] as OutgoingFrame, ++this.numbers);
        call.messages.push(message);
        this.waiting.push(message);
      }
      this.calls.add(call);
      this.pump();
      if (this.expiry === undefined) this.watch();
    });
  }

  /** Rejects with the EventingError of the one message. */
  async publishOne(frame: OutgoingFrame): Promise<void> {
    const [failure] = await this.publish([frame]);
    if (failure !== undefined) throw failure.error;
  }

  /** A connection to use until it ends. */
  use(connection: StompConnection): void {
    this.connection = connection;
    void connection.ended.then((fault) => this.lost(connection, fault));
    this.pump();
  }

  /** Messages that the broker has. */
  get confirmed(): number {
    return this.stored;
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Why there is no connection, for those whose time runs out. */
  away(reason: Error): void {
    this.lastFault = reason;
  }

  /** Takes nothing more. Resolves when everything taken is answered, at the latest after `patience` milliseconds. */
  async close(patience: number): Promise<void> {
    this.closed = true;
    if (this.calls.size > 0) await settledWithin(new Promise<void>((resolve) => (this.idle = resolve)), patience);
    this.expiry?.cancel();
    for (const call of [...this.calls])
      this.giveUp(call, 'EVT_NOT_RUNNING', `${STOPPED} The broker had not confirmed the event.`);
  }

  private pump(): void {
    const { connection } = this;
    if (connection === undefined || connection.isOver || this.pumping) return;
    if (this.next === this.waiting.length) return;
    this.pumping = true;
    // What is sent in this turn of the event loop leaves together.
    queueMicrotask(() => {
      this.pumping = false;
      if (this.connection === connection && !connection.isOver) this.write(connection);
    });
  }

  private write(connection: StompConnection): void {
    const window = this.care === 'single' ? 1 : this.options.window;
    let since = 0;
    this.passOver();
    while (this.next < this.waiting.length && this.unconfirmed.length < window && connection.backlog < MOST_BACKLOG) {
      const message = this.waiting[this.next++] as QueuedMessage;
      this.passOver();
      message.sent = true;
      this.unconfirmed.push(message);
      let head = encodeHead(message.frame, this.tag + message.number);
      since++;
      // Whatever ends this loop, the last message has a receipt, and the receipt goes on with it.
      const backlog = connection.backlog + head.length * 3 + message.frame.body.byteLength;
      const isLast = this.next === this.waiting.length || this.unconfirmed.length >= window || backlog >= MOST_BACKLOG;
      if (isLast || this.care !== 'batch' || since >= RECEIPT_EVERY) {
        since = 0;
        head += connection.receipt((fault) => this.answered(message, fault));
      }
      connection.send(head, message.frame.body);
    }
    if (this.next === this.waiting.length) {
      this.waiting = [];
      this.next = 0;
    } else if (this.next > 4_096) {
      this.waiting = this.waiting.slice(this.next);
      this.next = 0;
    }
  }

  /** What nobody waits for any more. */
  private passOver(): void {
    while (this.waiting[this.next]?.done === true) this.next++;
  }

  /** Everything up to a message is stored, or the one was refused; what else is lost with the connection comes to `lost`. */
  private answered(message: QueuedMessage, fault: StompFault | undefined): void {
    if (fault !== undefined) {
      if (isFinal(fault) && fault.details.receipt !== undefined) this.refused(message, fault);
      return;
    }
    let count = 0;
    for (const stored of this.unconfirmed) {
      if (stored.number > message.number) break;
      stored.call.stored(stored);
      if (!stored.call.open) this.calls.delete(stored.call);
      count++;
    }
    this.unconfirmed.splice(0, count);
    this.stored += count;
    this.suspicions = 0;
    if (this.care !== 'batch' && message.number >= this.careUntil) this.care = 'batch';
    this.forgetAnswered();
    this.pump();
  }

  private refused(message: QueuedMessage, fault: StompFault, indeterminate = false): void {
    message.call.failed(message, refusal(fault, message.frame.destination), indeterminate);
    if (!message.call.open) this.calls.delete(message.call);
  }

  private lost(connection: StompConnection, fault: StompFault): void {
    if (this.connection !== connection) return;
    this.connection = undefined;
    this.lastFault = fault;
    const back = this.unconfirmed.filter(({ done }) => !done);
    const rest = this.waiting.slice(this.next);
    this.unconfirmed = [];
    this.next = 0;
    if (isFinal(fault) && fault.details.receipt === undefined && back.length > 0) {
      if (back.length === 1 && ++this.suspicions > MOST_SUSPICIONS) {
        this.suspicions = 0;
        this.refused(back.shift() as QueuedMessage, fault, true);
      } else {
        this.care = MORE_CARE[this.care];
        this.careUntil = Math.max(this.careUntil, back.at(-1)?.number ?? 0);
      }
    }
    this.waiting = [...back, ...rest];
    this.forgetAnswered();
  }

  private giveUp(call: PublishCall<QueuedMessage>, code: ErrorCode, message: string): void {
    const cause = this.lastFault;
    for (const one of call.messages) {
      if (one.done) continue;
      call.failed(one, new EventingError(code, message, { indeterminate: one.sent, cause }), one.sent);
    }
    this.calls.delete(call);
  }

  private forgetAnswered(): void {
    if (this.closed && this.calls.size === 0) this.idle?.();
  }

  /** Deadlines are in call order, so one timer for the first open call is enough; it is not moved for each. */
  private watch(): void {
    this.expiry = undefined;
    const { clock, publishTimeout } = this.options;
    const now = clock.now();
    for (const call of this.calls) {
      if (call.deadline > now) {
        this.expiry = clock.setTimeout(() => this.watch(), call.deadline - now);
        return;
      }
      const why = this.lastFault === undefined ? '' : `: ${this.lastFault.message}`;
      this.giveUp(
        call,
        'EVT_PUBLISH_TIMEOUT',
        `The broker did not confirm the event within ${publishTimeout / 1000} s (\`publishTimeout\`)${why}.`,
      );
    }
    this.forgetAnswered();
  }
}
