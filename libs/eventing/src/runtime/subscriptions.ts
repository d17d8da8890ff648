import type { Clock } from '../clock.js';
import type { SubscriptionHandle } from '../provider/event-provider.js';
import type { SubscriptionRunner } from '../receive/subscription.runner.js';
import type { SubscriptionPlan } from '../registry/listener.plan.js';

/** A subscription that runs. */
export class RunningSubscription {
  #paused = false;

  constructor(
    readonly plan: SubscriptionPlan,
    private readonly runner: SubscriptionRunner,
    private readonly handle: SubscriptionHandle,
  ) {}

  get paused(): boolean {
    return this.#paused;
  }

  /** Deliveries that are not settled. */
  get unsettled(): number {
    return this.runner.unsettled;
  }

  /** When the oldest of those was sent, milliseconds since 1970. */
  get oldestUnsettled(): number | undefined {
    return this.runner.oldestUnsettled;
  }

  lag(): Promise<number> {
    return this.handle.lag();
  }

  /** Idempotent, as are all that follow. */
  pause(): void {
    this.#paused = true;
    this.handle.pause();
  }

  resume(): void {
    this.#paused = false;
    this.handle.resume();
  }

  /** Takes nothing new, and waits for listeners at work. @param left milliseconds that may still pass */
  async drain(left: number): Promise<void> {
    if (!this.#paused) this.pause();
    await this.runner.drain(left);
  }

  /** Leaves the provider. What it had and did not settle comes back to whoever is there. */
  leave(): Promise<void> {
    return this.handle.stop();
  }
}

/** The subscriptions of one application. */
export class Subscriptions {
  readonly #running = new Set<RunningSubscription>();

  constructor(private readonly clock: Clock) {}

  add(running: RunningSubscription): void {
    this.#running.add(running);
  }

  /** The one that feeds the listener of this name. */
  of(listener: string): RunningSubscription | undefined {
    return this.all().find(({ plan }) => plan.listeners.some(({ name }) => name === listener));
  }

  all(): RunningSubscription[] {
    return [...this.#running];
  }

  /** Drains it and leaves; at most `drain` milliseconds for listeners at work. */
  async end(running: RunningSubscription, drain: number): Promise<void> {
    if (!this.#running.delete(running)) return;
    await running.drain(drain);
    await running.leave();
  }

  /** All of them: nothing new, then wait for listeners at work until `deadline`, then leave. */
  async stop(deadline: number): Promise<void> {
    const running = this.all();
    for (const subscription of running) subscription.pause();
    await Promise.all(running.map((subscription) => subscription.drain(Math.max(1, deadline - this.clock.now()))));
    await Promise.all(running.map((subscription) => subscription.leave()));
    this.#running.clear();
  }
}
