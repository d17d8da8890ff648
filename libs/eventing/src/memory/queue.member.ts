import type { ProviderContext, Subscriber, SubscriptionHandle } from '../provider/event-provider.js';
import { Deque } from './deque.js';
import type { DeliveryScheduler } from './delivery.scheduler.js';
import type { MemoryQueue } from './memory.queue.js';
import type { QueuePartition } from './queue.partition.js';

/** One subscription of one instance: owns partitions in the queues of its channels, and is what `subscribe` returns. */
export class QueueMember implements SubscriptionHandle {
  /** The scheduler has it in its row. */
  scheduled = false;
  /** Where it is to end. */
  ended: Promise<void> | undefined;
  private paused = false;
  private left = false;
  private readonly queues: MemoryQueue[] = [];
  /** Owned partitions with something to deliver: each gives one message and goes to the end, so that none is starved. */
  private readonly ready = new Deque<QueuePartition>();

  /** @param siblings the members of its connection; it is one of them until it leaves */
  constructor(
    readonly context: ProviderContext,
    readonly window: number,
    private readonly subscriber: Subscriber,
    private readonly scheduler: DeliveryScheduler,
    private readonly siblings: Set<QueueMember>,
  ) {
    siblings.add(this);
  }

  get hasWork(): boolean {
    return this.ready.size > 0 && !this.paused;
  }

  join(queue: MemoryQueue): void {
    this.queues.push(queue);
    queue.join(this);
  }

  offer(partition: QueuePartition): void {
    this.ready.push(partition);
    if (!this.scheduled && !this.paused) this.scheduler.schedule(this);
  }

  /** Delivers at most `limit` messages. */
  pump(limit: number): void {
    let delivered = 0;
    while (delivered < limit && !this.paused && this.scheduler.open) {
      const partition = this.ready.shift();
      if (partition === undefined) break;
      // It moved while it stood here, and stands in its new owner's row.
      if (partition.owner !== this) continue;
      const delivery = partition.take(this);
      if (delivery === undefined) continue;
      delivered++;
      try {
        this.subscriber.deliver(delivery);
      } catch (error) {
        this.context.logger.error(`memory: deliver() threw; ${delivery.position} stays unsettled: ${String(error)}`);
      }
      partition.wake();
    }
  }

  /** Takes partitions away; resolves when they are let go. See `QueuePartition.hold` for `lost`. */
  async handOver(partitions: readonly QueuePartition[], lost: boolean): Promise<void> {
    const epochs = partitions.map((partition) => partition.hold(lost));
    await this.drained(partitions.map((partition) => partition.source));
    partitions.forEach((partition, index) => partition.letGo(epochs[index] as number));
  }

  /** The connection is gone, and with it every partition until the subscriber has stopped working on it. */
  disconnect(): void {
    const owned = this.queues.flatMap((queue) => queue.ownedBy(this));
    if (owned.length > 0) void this.handOver(owned, true);
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    if (this.left) return;
    this.paused = false;
    if (this.ready.size > 0) this.scheduler.schedule(this);
  }

  async lag(): Promise<number> {
    const owned = this.queues.flatMap((queue) => queue.ownedBy(this));
    return owned.reduce((sum, partition) => sum + partition.waitingCount + partition.unsettledCount, 0);
  }

  stop(): Promise<void> {
    this.leave(false);
    return Promise.resolve();
  }

  /** Idempotent. */
  leave(crashed: boolean): void {
    if (this.left) return;
    this.left = true;
    this.paused = true;
    this.ready.clear();
    for (const queue of this.queues) queue.leave(this, crashed);
    this.siblings.delete(this);
  }

  private drained(sources: readonly string[]): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.context.clock.setTimeout(resolve, this.context.rebalanceDrain);
      const end = (): void => {
        timer.cancel();
        resolve();
      };
      // An async call, so that a revoked() that throws counts as done, as one that rejects does.
      const revoke = async (): Promise<void> => this.subscriber.revoked(sources);
      void this.scheduler.detached(revoke).then(end, end);
    });
  }
}
