import type { Channel, ConsumeMessage } from 'amqplib';
import { type Clock, settledWithin, type Settlement, type Timer } from 'nestjs-eventing';
import { AckWindow } from './ack.window.js';
import type { CrashSuspects } from './crash.suspects.js';
import type { FrameReader } from './frame.reader.js';
import { type DeliveryOwner, DONE, MOVING, OPEN, RabbitDelivery, RELEASED } from './rabbit.delivery.js';
import { quietly } from './rabbit.link.js';

/** What a reader needs of the queue that it reads. */
export interface ReaderHost {
  readonly queue: string;
  readonly channel: string;
  readonly paused: boolean;
  readonly window: number;
  readonly suspects: CrashSuspects;
  readonly clock: Clock;
  /** Milliseconds. */
  readonly ackInterval: number;
  readonly ackThreshold: number;
  hand(delivery: RabbitDelivery): void;
  /** Resolves when it is safe in its new place. */
  move(
    delivery: RabbitDelivery,
    settlement: Exclude<Settlement, { readonly kind: 'accept' | 'release' }>,
  ): Promise<void>;
  /** The broker closed the channel, or deleted the queue; told once. */
  ended(reader: QueueReader, cause: Error | undefined): void;
}

/** What is due in so many milliseconds waits at the kernel; more, and it is deferred once more. */
const WORTH_DEFERRING = 1_000;
const CLOSE_WITHIN = 1_000;
/** A busy broker takes its time to work on acknowledgements; what it has not worked on by then is delivered again. */
const HEARD_WITHIN = 5_000;

/** Reads one queue over one AMQP channel, until that is closed. Then it is over: what is settled later has no effect. */
export class QueueReader implements DeliveryOwner {
  private readonly window: AckWindow;
  /** Handed over by the broker, and waiting for room in the window. */
  private buffer: RabbitDelivery[] = [];
  private bufferAt = 0;
  private released: RabbitDelivery[] = [];
  /** At the kernel and not settled. */
  private open = 0;
  private closed = false;
  /** Something has to be found out or written down first. */
  private gated = false;
  private fresh = true;
  private feeding = false;
  private timer: Timer | undefined;
  private flushing = false;
  private consumerTag = '';

  constructor(
    private readonly amqp: Channel,
    private readonly frames: FrameReader | undefined,
    private readonly host: ReaderHost,
  ) {
    this.window = new AckWindow(amqp);
    let cause: Error | undefined;
    amqp.on('error', (error: Error) => (cause = error));
    amqp.on('close', () => {
      this.route(undefined);
      this.end(cause);
    });
  }

  get queue(): string {
    return this.host.queue;
  }

  get channel(): string {
    return this.host.channel;
  }

  /** What this process has of the queue and did not settle. */
  get unsettled(): number {
    return this.open + this.buffer.length - this.bufferAt + this.released.length;
  }

  /** Resolves when the broker begins to deliver. */
  async consume(prefetch: number): Promise<void> {
    await this.amqp.prefetch(prefetch, false);
    this.route((message) => this.take(message));
    const { consumerTag } = await this.amqp.consume(this.queue, (message) => {
      if (message !== null) return this.take(message);
      this.end(new Error(`the queue ${this.queue} was deleted, or moved`));
      void quietly(() => this.amqp.close());
    });
    this.consumerTag = consumerTag;
  }

  /** Delivers as much as the window allows. */
  feed(): void {
    if (this.feeding || (this.bufferAt === this.buffer.length && this.released.length === 0)) return;
    this.feeding = true;
    while (!this.closed && !this.gated && !this.host.paused && this.open < this.host.window) {
      const again = this.released.shift();
      if (again !== undefined) {
        again.state = OPEN;
        this.hand(again);
        continue;
      }
      const next = this.buffer[this.bufferAt];
      if (next === undefined || this.mustWait(next)) break;
      this.bufferAt++;
      this.hand(next);
    }
    if (this.bufferAt === this.buffer.length || this.bufferAt >= 512) {
      this.buffer = this.buffer.slice(this.bufferAt);
      this.bufferAt = 0;
    }
    this.feeding = false;
  }

  accepted(delivery: RabbitDelivery): void {
    if (this.closed) return;
    this.open--;
    this.finished(delivery);
    this.feed();
  }

  async settleElse(
    delivery: RabbitDelivery,
    settlement: Exclude<Settlement, { readonly kind: 'accept' }>,
  ): Promise<void> {
    if (this.closed) return;
    if (settlement.kind === 'release') {
      // Not back to the broker: a quorum queue would put it behind others that came back.
      delivery.state = RELEASED;
      this.open--;
      if (this.host.suspects.alone === delivery) this.host.suspects.alone = undefined;
      this.released.push(delivery);
      this.released.sort((a, b) => a.tag - b.tag);
      // Not within this call: whoever gives something back does not expect more before that returns.
      queueMicrotask(() => this.feed());
      return;
    }
    delivery.state = MOVING;
    try {
      await this.host.move(delivery, settlement);
    } catch (error) {
      if (this.closed) return;
      delivery.state = OPEN;
      throw error;
    }
    if (this.closed) return;
    delivery.state = DONE;
    this.accepted(delivery);
  }

  /** Tells the broker of all that is settled, and gives the rest back. @param before is done while nothing is given back yet */
  async close(before: (head: RabbitDelivery | undefined) => Promise<void>): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.flush();
    await settledWithin(
      quietly(() => this.heard()),
      HEARD_WITHIN,
    );
    await before(this.window.head);
    await settledWithin(
      quietly(() => this.amqp.close()),
      CLOSE_WITHIN,
    );
  }

  /**
   * Acknowledgements have no answer, and a channel keeps some back while its quorum queue has 32 of them to work on; those are forgotten
   * when it is closed. An answer of the queue tells that it has worked on what was sent; the second, on what was kept back.
   */
  private async heard(): Promise<void> {
    for (let question = 0; question < 2; question++) await this.amqp.checkQueue(this.queue);
  }

  /** For a queue that is to go with its reader. */
  async discard(ifUnused: boolean): Promise<void> {
    await this.amqp.cancel(this.consumerTag);
    await this.amqp.deleteQueue(this.queue, { ifUnused });
  }

  /** Nothing but this consumer's deliveries come over its channel. */
  private route(take: ((message: ConsumeMessage) => void) | undefined): void {
    const { ch: number } = this.amqp as Channel & { readonly ch?: number };
    if (number !== undefined) this.frames?.route(number, take);
  }

  private take(message: ConsumeMessage): void {
    if (this.closed) return;
    const { suspects, clock } = this.host;
    const delivery = new RabbitDelivery(this, message, clock);
    this.window.add(delivery);
    if (this.fresh) {
      this.fresh = false;
      if (suspects.doubts(delivery)) this.gate(suspects.judge(delivery));
    }
    if (message.fields.redelivered) {
      suspects.count(delivery);
      delivery.attempt += suspects.attemptsOf(delivery);
    } else suspects.calm();
    if (delivery.notBefore !== undefined && delivery.notBefore - clock.now() > WORTH_DEFERRING)
      return this.deferAgain(delivery, delivery.notBefore);
    // The usual case, without a detour.
    if (this.bufferAt === this.buffer.length && this.isFree() && !this.mustWait(delivery)) return this.hand(delivery);
    this.buffer.push(delivery);
  }

  private isFree(): boolean {
    return !this.gated && !this.host.paused && this.released.length === 0 && this.open < this.host.window;
  }

  private hand(delivery: RabbitDelivery): void {
    this.open++;
    this.host.hand(delivery);
  }

  /** One that may have killed its process is handed over when nothing else is in work, and nothing is while it is. */
  private mustWait(delivery: RabbitDelivery): boolean {
    const { suspects } = this.host;
    if (suspects.alone !== undefined) return true;
    if (!suspects.isSuspect(delivery)) return false;
    if (this.open > 0) return true;
    suspects.alone = delivery;
    if (delivery.accused) return false;
    delivery.accused = true;
    this.gate(suspects.accuse(delivery).then(() => this.handAlone(delivery)));
    return true;
  }

  private handAlone(delivery: RabbitDelivery): void {
    if (this.closed) return;
    const index = this.buffer.indexOf(delivery, this.bufferAt);
    if (index >= 0) this.buffer.splice(index, 1);
    this.hand(delivery);
  }

  /** Nothing is handed over until this is over. If it fails, less is known, and that is all. */
  private gate(work: Promise<void>): void {
    this.gated = true;
    const go = (): void => {
      this.gated = false;
      this.feed();
    };
    work.then(go, () => {
      this.host.suspects.alone = undefined;
      go();
    });
  }

  /** What came back too soon; the longest delay is shorter than its wait. Nobody needs to know. */
  private deferAgain(delivery: RabbitDelivery, notBefore: number): void {
    delivery.state = MOVING;
    const { attempt } = delivery;
    this.host.move(delivery, { kind: 'defer', notBefore, attempt }).then(
      () => {
        if (this.closed) return;
        delivery.state = DONE;
        this.finished(delivery);
      },
      () => {
        if (this.closed) return;
        delivery.state = OPEN;
        this.buffer.push(delivery);
        this.feed();
      },
    );
  }

  private finished(delivery: RabbitDelivery): void {
    const { suspects, clock, ackInterval, ackThreshold } = this.host;
    this.window.done(delivery);
    const wasAlone = suspects.alone === delivery;
    if (wasAlone) suspects.alone = undefined;
    if (wasAlone || this.window.waiting >= ackThreshold) return this.flush();
    if (this.flushing) return;
    if (this.window.head === undefined) {
      // Nothing is in work that it could wait for, and what comes later disturbs what is sent then.
      this.flushing = true;
      setImmediate(() => this.flush());
    } else this.timer ??= clock.setTimeout(() => this.flush(), ackInterval);
  }

  private flush(): void {
    this.flushing = false;
    this.timer?.cancel();
    this.timer = undefined;
    try {
      this.window.flush();
    } catch {
      // The channel is gone: it all comes back.
    }
  }

  private end(cause: Error | undefined): void {
    if (this.closed) return;
    this.closed = true;
    this.timer?.cancel();
    this.host.suspects.survived(this.window.unsettled());
    this.host.ended(this, cause);
  }
}
