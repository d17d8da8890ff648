import type { Delivery, RawHeaders, Settlement, Subscriber } from '../provider/event-provider.js';
import type { SubscriptionRunner } from '../receive/subscription.runner.js';

/** Stands between a provider and the runner of a replay, and counts what becomes of each event. */
export class ReplayTally implements Subscriber {
  /** Those that are done: handled, skipped, or discarded. */
  #accepted = 0;
  #deadLettered = 0;

  constructor(private readonly runner: SubscriptionRunner) {}

  get handled(): number {
    return this.#accepted - this.skipped - this.discarded;
  }

  get deadLettered(): number {
    return this.#deadLettered;
  }

  get discarded(): number {
    return this.runner.discarded;
  }

  get skipped(): number {
    return this.runner.skipped;
  }

  deliver(delivery: Delivery): void {
    this.runner.deliver(new CountedDelivery(delivery, (settlement) => this.#count(settlement)));
  }

  revoked(sources: readonly string[]): Promise<void> {
    return this.runner.revoked(sources);
  }

  #count(settlement: Settlement): void {
    if (settlement.kind === 'accept') this.#accepted++;
    if (settlement.kind === 'reject') this.#deadLettered++;
  }
}

class CountedDelivery implements Delivery {
  constructor(
    private readonly delivery: Delivery,
    private readonly settled: (settlement: Settlement) => void,
  ) {}

  get channel(): string {
    return this.delivery.channel;
  }
  get key(): string | undefined {
    return this.delivery.key;
  }
  get headers(): RawHeaders {
    return this.delivery.headers;
  }
  get body(): Uint8Array {
    return this.delivery.body;
  }
  get time(): number {
    return this.delivery.time;
  }
  get source(): string {
    return this.delivery.source;
  }
  get position(): string {
    return this.delivery.position;
  }
  get attempt(): number {
    return this.delivery.attempt;
  }
  get notBefore(): number | undefined {
    return this.delivery.notBefore;
  }

  /** Counted when it is done, and before the end of the replay can be seen. */
  settle(settlement: Settlement): Promise<void> | void {
    if (settlement.kind === 'accept') {
      this.settled(settlement);
      return this.delivery.settle(settlement);
    }
    const done = this.delivery.settle(settlement);
    if (!(done instanceof Promise)) return this.settled(settlement);
    return done.then(() => this.settled(settlement));
  }
}
