import type { Delivery, OutgoingMessage, RawHeaders, Settlement } from 'nestjs-eventing';
import { type Source, sourceName } from '../log/stored.event.js';
import { refusedOutput } from '../subscription/log.delivery.js';
import type { SettledLedger } from '../subscription/settled.ledger.js';
import type { DeferredMessage, HeldMessages } from './deferred.table.js';

/** What it needs of the subscription that it belongs to. */
export interface DeferredHost {
  readonly window: number;
  readonly paused: boolean;
  deliver(delivery: Delivery): void;
  /** Something was settled: write it down when convenient. */
  changed(): void;
  moveDeferred(delivery: DeferredDelivery, settlement: Settlement): Promise<void>;
  /** There is room again. */
  deferredHungry(): void;
}

/** The deferred messages of one source in this process: a source of its own, which moves together with that one. */
export class DeferredTracker {
  readonly name: string;
  /** Taken and not delivered: it was paused. */
  private waiting: DeferredDelivery[] = [];
  /** Taken and not settled, those that wait included. */
  private readonly inHand = new Map<number, DeferredDelivery>();
  /** Settled, and still there. */
  private readonly settled = new Set<number>();
  /** What a predecessor had taken when it died is tried first, one at a time. */
  private mayHaveSuspects = true;
  /** Of the messages of a replay that were deferred, those that are not settled. */
  private expected = 0;
  private held = false;
  private closed = false;

  constructor(
    readonly source: Source,
    /** The fencing token of that source. */
    readonly generation: number,
    private readonly host: DeferredHost,
    /** That of the source, where outputs and letters wait for a transaction; undefined where each goes by itself. */
    private readonly ledger?: SettledLedger,
  ) {
    this.name = `${sourceName(source)}/deferred`;
  }

  /** How many there is room for. */
  get wanted(): number {
    if (this.closed || this.held) return 0;
    if (this.ledger?.isFull === true) return 0;
    if (this.mayHaveSuspects) return this.inHand.size + this.settled.size === 0 ? 1 : 0;
    return Math.max(0, this.host.window - this.inHand.size);
  }

  get isClosed(): boolean {
    return this.closed;
  }

  get isDrained(): boolean {
    return this.expected <= 0;
  }

  /** A message of the log waits here from now on. */
  expect(): void {
    this.expected++;
  }

  get wantsSuspects(): boolean {
    return this.mayHaveSuspects;
  }

  /** What was asked for may have been taken, and the answer is lost: it is looked for as if a predecessor had it. */
  unsure(): void {
    this.mayHaveSuspects = true;
  }

  /** @returns whether there may be more */
  take(messages: readonly DeferredMessage[], asked: { readonly most: number; readonly suspects: boolean }): boolean {
    if (asked.suspects && messages.length === 0) this.mayHaveSuspects = false;
    if (this.closed) return false;
    for (const message of messages) {
      const delivery = new DeferredDelivery(this, message);
      this.inHand.set(message.number, delivery);
      this.waiting.push(delivery);
    }
    this.feed();
    // After the last suspect, the others.
    return asked.suspects ? messages.length === 0 : messages.length >= asked.most;
  }

  feed(): void {
    while (!this.closed && !this.held && !this.host.paused) {
      const delivery = this.waiting.shift();
      if (delivery === undefined) return;
      this.host.deliver(delivery);
    }
  }

  /** Accept, and what was moved elsewhere. @param outputs to be committed with its removal */
  accepted(delivery: DeferredDelivery, outputs: readonly OutgoingMessage[] = []): void {
    if (this.closed) return;
    this.ledger?.addOutputs(outputs);
    this.inHand.delete(delivery.message.number);
    this.settled.add(delivery.message.number);
    if (delivery.message.origin !== undefined) this.expected--;
    this.host.changed();
    if (this.wanted > 0) this.host.deferredHungry();
  }

  settleElse(delivery: DeferredDelivery, settlement: Settlement): Promise<void> {
    if (this.closed) return Promise.resolve();
    if (settlement.kind === 'release') {
      const again = new DeferredDelivery(this, delivery.message);
      this.inHand.set(delivery.message.number, again);
      this.waiting.unshift(again);
      queueMicrotask(() => this.feed());
      return Promise.resolve();
    }
    if (settlement.kind === 'reject' && this.ledger !== undefined) {
      this.ledger.addLetter(settlement.letter);
      this.accepted(delivery);
      return Promise.resolve();
    }
    return this.host.moveDeferred(delivery, settlement).then(
      () => {
        if (settlement.kind === 'reject') this.accepted(delivery);
        else this.inHand.delete(delivery.message.number);
        this.host.deferredHungry();
      },
      (error: unknown) => {
        delivery.open = true;
        throw error;
      },
    );
  }

  hold(): void {
    this.held = true;
  }

  /** These of its messages, with what says whose they are. */
  these(numbers: readonly number[]): HeldMessages {
    return { ...this.source, generation: this.generation, numbers };
  }

  /** What is settled and has to be removed. */
  changes(): readonly number[] {
    return [...this.settled];
  }

  confirm(removed: readonly number[]): void {
    for (const number of removed) this.settled.delete(number);
    if (removed.length > 0) this.host.deferredHungry();
  }

  /** The source is another's. @returns what was taken and not settled */
  close(): HeldMessages {
    this.closed = true;
    const left = this.these([...this.inHand.keys()]);
    this.inHand.clear();
    this.waiting = [];
    return left;
  }
}

/** One deferred message handed to the kernel. */
export class DeferredDelivery implements Delivery {
  open = true;

  constructor(
    private readonly tracker: DeferredTracker,
    readonly message: DeferredMessage,
  ) {}

  get channel(): string {
    return this.tracker.source.channel;
  }

  get key(): string | undefined {
    return this.message.key;
  }

  get headers(): RawHeaders {
    return this.message.headers;
  }

  get body(): Uint8Array {
    return this.message.body;
  }

  get time(): number {
    return this.message.time;
  }

  get source(): string {
    return this.tracker.name;
  }

  get position(): string {
    return this.message.origin ?? `to@${this.message.number}`;
  }

  get attempt(): number {
    return this.message.attempt;
  }

  /** It alone, with what says whose it is. */
  get held(): HeldMessages {
    return this.tracker.these([this.message.number]);
  }

  settle(settlement: Settlement): Promise<void> | void {
    if (!this.open) return;
    if (settlement.kind === 'accept') {
      const refusal = refusedOutput(settlement.outputs);
      if (refusal !== undefined) return Promise.reject(refusal);
      this.open = false;
      this.tracker.accepted(this, settlement.outputs);
      return;
    }
    this.open = false;
    return this.tracker.settleElse(this, settlement);
  }
}
