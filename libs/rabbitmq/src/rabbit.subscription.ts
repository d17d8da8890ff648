import type { Subscriber, Subscription, SubscriptionHandle } from 'nestjs-eventing';
import { QueueSource, type SourceParts } from './queue.source.js';
import { connectionError } from './rabbit.errors.js';
import type { QueuePlan } from './rabbit.topology.js';

/** The queues of one subscription. */
export class RabbitSubscription implements SubscriptionHandle {
  private readonly sources: readonly QueueSource[];

  constructor(parts: SourceParts, plans: readonly QueuePlan[], { window }: Subscription, subscriber: Subscriber) {
    this.sources = plans.map((plan) => new QueueSource(parts, plan, window, subscriber));
  }

  /** Resolves when each queue is there and read. */
  async start(): Promise<void> {
    await Promise.all(this.sources.map((source) => source.start()));
  }

  pause(): void {
    for (const source of this.sources) source.pause();
  }

  resume(): void {
    for (const source of this.sources) source.resume();
  }

  async lag(): Promise<number> {
    try {
      const lags = await Promise.all(this.sources.map((source) => source.lag()));
      return lags.reduce((sum, lag) => sum + lag, 0);
    } catch (error) {
      throw connectionError(error);
    }
  }

  async stop(): Promise<void> {
    await Promise.all(this.sources.map((source) => source.stop()));
  }
}
