import type { SubscriptionHandle } from '../provider/event-provider.js';
import type { StoppedAt } from '../receive/listener.stop.js';
import type { SubscriptionRunner } from '../receive/subscription.runner.js';
import type { SubscriptionPlan } from '../registry/listener.plan.js';
import type { Shutdown } from './shutdown.js';

/** A subscription that runs. */
export class RunningSubscription {
  #paused = false;
  #stopped: () => void = () => undefined;
  /** It has left its provider, or is about to. */
  left = false;

  constructor(
    readonly plan: SubscriptionPlan,
    private readonly runner: SubscriptionRunner,
    private readonly handle: SubscriptionHandle,
  ) {
    runner.stop.onStop = () => {
      this.pause();
      this.#stopped();
    };
    // A backlog may have been delivered before there was a handle.
    if (runner.stop.at !== undefined) this.pause();
  }

  /** Calls it when the listener stops, at once if it has. */
  onStop(stopped: () => void): void {
    this.#stopped = stopped;
    if (this.stopped !== undefined) stopped();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Where its listener has stopped, under `retry.exhausted: 'stop'`; until it is resumed. */
  get stopped(): StoppedAt | undefined {
    return this.runner.stop.at;
  }

  /** Events that were given up, under `retry.exhausted: 'discard'`. */
  get discarded(): number {
    return this.runner.discarded;
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
    this.runner.resume();
    this.handle.resume();
  }

  /** Takes nothing new, and waits for listeners at work. @param left milliseconds that may still pass */
  async drain(left: number): Promise<void> {
    if (!this.#paused) this.pause();
    await this.runner.drain(left);
  }

  /** Leaves the provider. What it had and did not settle comes back to whoever is there. */
  leave(): Promise<void> {
    this.left = true;
    return this.handle.stop();
  }
}

/** The subscriptions of one application. */
export class Subscriptions {
  readonly #running = new Set<RunningSubscription>();
  /** Those that show listeners the past; they are nobody's position. */
  readonly #replays = new Set<RunningSubscription>();

  addReplay(running: RunningSubscription): void {
    this.#replays.add(running);
  }

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
    if (!this.#running.delete(running) && !this.#replays.delete(running)) return;
    await running.drain(drain);
    await running.leave();
  }

  /** All of them: nothing new, then wait for listeners at work, then leave. */
  async stop(shutdown: Shutdown): Promise<void> {
    const running = [...this.all(), ...this.#replays];
    for (const subscription of running) subscription.pause();
    await Promise.all(running.map((subscription) => subscription.drain(shutdown.left)));
    // Before they leave: who hears of it, and would end them too, finds that it is done.
    this.#running.clear();
    this.#replays.clear();
    const leave = (each: RunningSubscription): Promise<void> =>
      shutdown.close(`The subscription ${each.plan.name}`, each.leave());
    await Promise.all(running.map(leave));
  }
}
