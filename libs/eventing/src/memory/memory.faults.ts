import { EventingError } from '../errors/eventing.error.js';
import { FaultRules, type MessagePredicate } from './publish.faults.js';

/** What the faults act upon: the broker, as they see it. */
export interface FaultTarget {
  disconnect(): void;
  connect(): void;
  crash(instance: string): void;
  setDelivering(delivering: boolean): void;
}

const EVERY: MessagePredicate = () => true;

/**
 * Makes a `MemoryBroker` fail, for tests: `broker.faults.disconnect()`. Nothing happens by chance: each method says what
 * fails, how often and when. `docs/providers/memory.md` shows each.
 */
export class MemoryFaults {
  /** @internal */
  readonly rejections = new FaultRules();
  /** @internal */
  readonly lostConfirms = new FaultRules();
  /** @internal */
  readonly duplicates = new FaultRules();
  private deadLetterFailures = 0;

  /** @internal */
  constructor(private readonly target: FaultTarget) {}

  /**
   * Every application loses its connection. Publishes wait, in order, up to `publishTimeout`; then each message fails with
   * EVT_PUBLISH_TIMEOUT. Deliveries stop; what was not settled comes back after `connect()`, and its late settlements
   * count for nothing. `start()` and `subscribe()` wait. Does nothing while disconnected.
   */
  disconnect(): void {
    this.target.disconnect();
  }

  /** Ends `disconnect()`: what waits is published first. Does nothing while connected. */
  connect(): void {
    this.target.connect();
  }

  /**
   * An instance dies as by kill -9: all its subscriptions vanish without settling or being revoked. What they had unsettled
   * goes to other members with its attempt one higher; its `perProcess` queues are gone. Its provider is dead from then on:
   * publishes fail, settlements count for nothing, and it is told nothing.
   *
   * Throws EVT_INVALID_OPTIONS where no such instance is connected.
   */
  crash(instance: string): void {
    this.target.crash(instance);
  }

  /** The next `count` messages that match fail with EVT_PUBLISH_FAILED and are not stored; others of a batch are. */
  rejectNext(count: number, predicate: MessagePredicate = EVERY): void {
    this.rejections.add(count, predicate);
  }

  /** The next `count` messages that match are stored, but their sender hears EVT_PUBLISH_TIMEOUT with `indeterminate`. */
  loseConfirmNext(count: number, predicate: MessagePredicate = EVERY): void {
    this.lostConfirms.add(count, predicate);
  }

  /** The next `count` stored messages that match reach each subscription twice: one right behind the other, one position. */
  duplicateNext(count: number, predicate: MessagePredicate = EVERY): void {
    this.duplicates.add(count, predicate);
  }

  /** The next `count` letters are not taken, in any service: EVT_DEAD_LETTER_FAILED; rejected messages stay unsettled. */
  failDeadLetters(count: number): void {
    this.deadLetterFailures += Math.max(0, count);
  }

  /** Messages are stored and none is delivered, over all subscriptions, until `resumeDelivery()`. */
  pauseDelivery(): void {
    this.target.setDelivering(false);
  }

  resumeDelivery(): void {
    this.target.setDelivering(true);
  }

  /** Forgets every `…Next` and `failDeadLetters`, resumes and connects. A crashed instance stays dead. */
  clear(): void {
    for (const rules of [this.rejections, this.lostConfirms, this.duplicates]) rules.clear();
    this.deadLetterFailures = 0;
    this.resumeDelivery();
    this.connect();
  }

  /** @internal Throws where the next letter is to fail. */
  readonly checkDeadLetter = (): void => {
    if (this.deadLetterFailures === 0) return;
    this.deadLetterFailures--;
    throw new EventingError(
      'EVT_DEAD_LETTER_FAILED',
      'the in-memory broker was told to fail: faults.failDeadLetters()',
    );
  };
}
