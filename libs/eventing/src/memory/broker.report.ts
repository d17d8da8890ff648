import type { MemoryQueue, QueueIdentity } from './memory.queue.js';

/** A queue at one moment. */
export interface QueueReport extends QueueIdentity {
  /** Not delivered yet, or released and not delivered again. */
  readonly waiting: number;
  /** Delivered and not settled. */
  readonly unsettled: number;
  /** Waiting for their time. */
  readonly deferred: number;
  /** Instances that share it. */
  readonly members: number;
  /** By source, the instance that owns it. */
  readonly owners: Readonly<Record<string, string | undefined>>;
}

/** @internal */
export function reportQueue(queue: MemoryQueue): QueueReport {
  const sum = (of: 'waitingCount' | 'unsettledCount'): number =>
    queue.partitions.reduce((total, partition) => total + partition[of], 0);
  return {
    ...queue.identity,
    waiting: sum('waitingCount'),
    unsettled: sum('unsettledCount'),
    deferred: queue.deferredCount,
    members: queue.memberCount,
    owners: Object.fromEntries(queue.partitions.map(({ source, owner }) => [source, owner?.context.instance])),
  };
}
