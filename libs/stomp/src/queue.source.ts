import type { Delivery, HeaderValue, Settlement } from 'nestjs-eventing';
import { AckBatch } from './ack.batch.js';
import type { IncomingMessage } from './message.codec.js';

/** Where a message waits that is not accepted. */
export interface SourceHost {
  readonly now: () => number;
  deliver(delivery: Delivery): void;
  /** Resolves when it is safe in its new place. */
  defer(source: QueueSource, message: IncomingMessage, to: Extract<Settlement, { kind: 'defer' }>): Promise<void>;
  reject(settlement: Extract<Settlement, { kind: 'reject' }>): Promise<void>;
}

/**
 * The messages of one queue on one connection: what came and waits, what is delivered and not settled. The broker counts bytes, so
 * more may come than the window lets through; the rest waits here, and goes back to the queue with the connection.
 */
export class QueueSource {
  private waiting: IncomingMessage[] = [];
  private next = 0;
  private unsettled = 0;
  private paused = false;
  private over = false;

  constructor(
    readonly channel: string,
    /** The name of the queue. */
    readonly name: string,
    private readonly window: number,
    private readonly acks: AckBatch,
    private readonly host: SourceHost,
  ) {}

  get isOver(): boolean {
    return this.over;
  }

  /** Nothing is delivered and not settled. */
  get isIdle(): boolean {
    return this.unsettled === 0;
  }

  take(message: IncomingMessage): void {
    this.waiting.push(message);
    this.deliver();
  }

  pause(paused: boolean): void {
    this.paused = paused;
    this.deliver();
  }

  /** Nothing is delivered any more, and what is settled later has no effect. */
  end(): void {
    this.over = true;
    this.waiting = [];
    this.next = 0;
  }

  /** Released: back, before what came after it. */
  again(message: IncomingMessage): void {
    if (this.over) return;
    this.unsettled--;
    this.waiting = [message, ...this.waiting.slice(this.next)];
    this.next = 0;
    this.deliver();
  }

  settled(message: IncomingMessage): void {
    if (this.over) return;
    this.unsettled--;
    this.acks.add(message.ackId, this.unsettled === 0 && this.next === this.waiting.length);
    this.deliver();
  }

  private deliver(): void {
    while (!this.paused && !this.over && this.unsettled < this.window && this.next < this.waiting.length) {
      const message = this.waiting[this.next++] as IncomingMessage;
      if (this.next === this.waiting.length || this.next > 1_024) {
        this.waiting = this.waiting.slice(this.next);
        this.next = 0;
      }
      this.unsettled++;
      this.host.deliver(new StompDelivery(message, this, this.host));
    }
  }
}

class StompDelivery implements Delivery {
  private isSettled = false;
  readonly key: string | undefined;
  readonly headers: Readonly<Record<string, HeaderValue>>;
  readonly body: Uint8Array;
  readonly time: number;
  readonly position: string;
  readonly attempt: number;
  readonly notBefore?: number;

  constructor(
    private readonly message: IncomingMessage,
    private readonly from: QueueSource,
    private readonly host: SourceHost,
  ) {
    this.key = message.key;
    this.headers = message.headers;
    this.body = message.body;
    this.time = message.time;
    this.position = message.number;
    this.attempt = message.attempt;
    const { notBefore } = message;
    // The broker's clock may be ahead of ours.
    if (notBefore !== undefined && notBefore > host.now()) this.notBefore = notBefore;
  }

  get channel(): string {
    return this.from.channel;
  }

  get source(): string {
    return this.from.name;
  }

  settle(settlement: Settlement): Promise<void> | void {
    if (this.isSettled) return;
    this.isSettled = true;
    const { from, message } = this;
    // It comes back, to whoever has the queue now.
    if (from.isOver) return;
    switch (settlement.kind) {
      case 'accept':
        return from.settled(message);
      case 'release':
        return from.again(message);
      case 'defer':
        return this.move(this.host.defer(from, message, settlement));
      case 'reject':
        return this.move(this.host.reject(settlement));
    }
  }

  private async move(safe: Promise<void>): Promise<void> {
    try {
      await safe;
    } catch (error) {
      this.isSettled = false;
      throw error;
    }
    this.from.settled(this.message);
  }
}
