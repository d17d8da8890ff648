import type { DeadLetter } from '../dead-letters/dead-letter.js';
import type { EventingError } from '../errors/eventing.error.js';
import type { OutgoingMessage } from '../provider/event-provider.js';
import type { BrokerParts } from './broker.parts.js';
import { assignPartitions } from './queue.assignor.js';
import { DeferredMessages } from './queue.deferral.js';
import type { QueueMember } from './queue.member.js';
import { QueuePartition } from './queue.partition.js';
import type { StoredMessage } from './stored.message.js';

/** What a queue is made of; see `MemoryBroker.queues()`. */
export interface QueueIdentity {
  readonly name: string;
  readonly channel: string;
  readonly service: string;
  readonly subscription: string;
  /** Goes on collecting without members. */
  readonly durable: boolean;
}

/** One subscription's copy of one channel. Its members share the partitions. */
export class MemoryQueue {
  readonly channel: string;
  readonly partitions: readonly QueuePartition[];
  private readonly members: QueueMember[] = [];
  private readonly deferred: DeferredMessages;
  /** Open messages and their bytes: waiting, delivered, deferred. */
  private size = 0;
  private bytes = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(
    readonly identity: QueueIdentity,
    private readonly parts: BrokerParts,
    private readonly onAbandoned: (queue: MemoryQueue) => void,
  ) {
    this.channel = identity.channel;
    this.partitions = Array.from({ length: parts.options.partitions }, (_, index) => new QueuePartition(this, index));
    this.deferred = new DeferredMessages(parts.clock);
  }

  get deferredCount(): number {
    return this.deferred.size;
  }

  get memberCount(): number {
    return this.members.length;
  }

  /** Nothing can be done for it now: all messages are deferred or gone, or nobody is there. */
  get quiet(): boolean {
    return this.members.length === 0 || this.size === this.deferred.size;
  }

  /** @param bytes of all of them */
  hasRoom(count: number, bytes: number): boolean {
    const { capacity, capacityBytes } = this.parts.options;
    return this.size + count <= capacity && this.bytes + bytes <= capacityBytes;
  }

  /** Takes it without asking for room. */
  add(stored: StoredMessage): void {
    this.size++;
    this.bytes += stored.message.body.length;
    this.partitions[stored.partition]?.add(stored, 1);
  }

  /** Resolves when there is no open message, or nobody to take one. */
  emptied(): Promise<void> {
    return this.size === 0 ? Promise.resolve() : new Promise((resolve) => this.waiting.push(resolve));
  }

  /** It needs no place any more. */
  forget(stored: StoredMessage): void {
    this.size--;
    if (this.size === 0 && this.waiting.length > 0) this.sayEmpty();
    this.bytes -= stored.message.body.length;
    this.parts.idle.touch();
  }

  /** Keeps its place among the open ones, out of everybody's way, and comes back behind what waits then. */
  defer(partition: QueuePartition, stored: StoredMessage, notBefore: number, attempt: number): void {
    this.deferred.add(notBefore, () => partition.add(stored, attempt));
    this.parts.idle.touch();
  }

  /** What was sent while a message was handled that leaves with it. All or nothing. */
  publish(outputs: readonly OutgoingMessage[], { message }: StoredMessage): EventingError | undefined {
    return this.parts.storeTogether(outputs, this.identity.service, { queue: this, bytes: message.body.length });
  }

  /** Throws where the store does not take it. */
  bury(letter: DeadLetter): void {
    this.parts.deadLetters(this.identity.service).store(letter);
  }

  join(member: QueueMember): void {
    this.members.push(member);
    this.rebalance();
  }

  leave(member: QueueMember, crashed: boolean): void {
    this.members.splice(this.members.indexOf(member), 1);
    for (const partition of this.ownedBy(member)) partition.abandon(crashed);
    if (this.members.length > 0) this.rebalance();
    else if (!this.identity.durable) {
      this.deferred.clear();
      this.onAbandoned(this);
      this.sayEmpty();
    }
    this.parts.idle.touch();
  }

  ownedBy(member: QueueMember): QueuePartition[] {
    return this.partitions.filter((partition) => partition.owner === member);
  }

  private sayEmpty(): void {
    for (const say of this.waiting.splice(0)) say();
  }

  private rebalance(): void {
    const owners = this.partitions.map((partition) => partition.owner);
    const targets = assignPartitions(owners, this.members);
    const moving = new Map<QueueMember, QueuePartition[]>();
    for (const partition of this.partitions) {
      partition.target = targets[partition.index];
      // One that is held is given to its new target when it is let go.
      if (partition.held || partition.owner === partition.target) continue;
      if (partition.owner === undefined) partition.own(partition.target);
      else moving.set(partition.owner, [...(moving.get(partition.owner) ?? []), partition]);
    }
    for (const [owner, partitions] of moving) void owner.handOver(partitions, false);
  }
}
