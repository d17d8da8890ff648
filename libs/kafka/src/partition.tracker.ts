import type { Delivery, Settlement } from 'nestjs-eventing';
import { METADATA_ENOUGH, encodeNotes, type DoneRange, type PositionNotes } from './commit.metadata.js';
import { DeliveryWindow } from './delivery.window.js';
import { DONE, KafkaDelivery, MOVING, OPEN, RELEASED, type Origin } from './kafka.delivery.js';
import { sourceName, type CommittedPosition, type FetchedRecords, type IncomingRecord, type TopicPartition } from './kafka.driver.js'; // prettier-ignore
import { RecordBuffer } from './record.buffer.js';

/** What a partition needs of the subscription that it belongs to. */
export interface TrackerHost {
  readonly window: number;
  /** Whether positions are committed at all. */
  readonly commits: boolean;
  /** No deliveries now. */
  readonly paused: boolean;
  deliver(delivery: Delivery): void;
  /** Where a record came from: null for a plain one; undefined for one of the retry topic that is not for us. */
  originOf(source: TopicPartition, record: IncomingRecord): Origin | null | undefined;
  /** Position or notes changed: commit them when convenient. */
  changed(tracker: PartitionTracker, accepted: number): void;
  /** Commits them, however long it takes. Resolves to false if the partition was lost before. */
  commitNow(tracker: PartitionTracker): Promise<boolean>;
  /** Defer and reject: stores it in its new place. */
  move(delivery: KafkaDelivery, settlement: Settlement): Promise<void>;
  /** Its buffer is full, or no longer: read on or not. */
  full(tracker: PartitionTracker, full: boolean): void;
}

/** The attempt from which on records are tried one at a time, so that the right one is blamed for crashes. */
const SUSPICIOUS = 3;
/** How many deliveries go by before the size of the notes is looked at again. */
const CHECK_EVERY = 64;
/** At least this many records are read ahead, so that a small window does not slow reading down. */
const LEAST_BUFFER = 1_000;

/**
 * One partition in this process: what was read and not delivered, what was delivered and not settled, and from both the position
 * that may be committed. Contiguity follows the order of delivery, not offset + 1: compaction and transactions leave gaps.
 */
export class PartitionTracker {
  readonly name: string;
  private readonly buffer: RecordBuffer;
  private readonly window = new DeliveryWindow();
  private released: KafkaDelivery[] = [];
  /** Settled by an owner before us, and not yet read again. */
  private readonly done: DoneRange[];
  private readonly start: number;
  private readonly startAttempt: number;
  /** Nothing is delivered before the attempt at the head is on record. */
  private gate: 'closed' | 'opening' | 'open';
  private suspects: number;
  private clean = false;
  private closed = false;
  private held = false;
  private feeding = false;
  private sinceCheck = 0;
  private crowded = false;
  /** What the broker confirmed last. */
  private confirmed = '';

  constructor(
    readonly source: TopicPartition,
    private readonly host: TrackerHost,
    start: { readonly offset: number; readonly notes: PositionNotes },
  ) {
    this.name = sourceName(source);
    this.start = start.offset;
    this.done = [...start.notes.done];
    this.startAttempt = start.notes.attempt;
    // As many as may have been in work, and the first that was not.
    this.suspects = host.commits && start.notes.attempt >= SUSPICIOUS ? host.window + 1 : 0;
    this.gate = host.commits ? 'closed' : 'open';
    const highWater = Math.max(host.window * 2, LEAST_BUFFER);
    this.buffer = new RecordBuffer(start.offset, highWater, (full) => host.full(this, full));
  }

  /** Takes what was read. */
  take(fetched: FetchedRecords): void {
    if (this.closed) return;
    this.buffer.add(fetched);
    // Only gaps: nothing to deliver, and yet the position moves.
    if (fetched.records.length === 0) this.changed(0);
    this.feed();
  }

  /** Delivers as much as the window allows. */
  feed(): void {
    if (this.feeding) return;
    this.feeding = true;
    while (!this.closed && !this.held && !this.host.paused) {
      const released = this.released.shift();
      if (released !== undefined) {
        const again = released.again();
        this.window.replace(released, again);
        this.host.deliver(again);
        continue;
      }
      const record = this.buffer.first;
      if (record === undefined || this.window.size >= this.host.window) break;
      if (!this.passGate() || this.isCrowded()) break;
      this.buffer.shift();
      this.deliver(record);
    }
    this.feeding = false;
    if (!this.closed) this.buffer.tell();
  }

  accepted(delivery: KafkaDelivery): void {
    if (this.closed) return;
    if (this.window.head === delivery) this.window.shrink();
    this.changed(1);
    this.feed();
  }

  /** Release, defer and reject. */
  settleElse(delivery: KafkaDelivery, settlement: Settlement): Promise<void> {
    if (this.closed) return Promise.resolve();
    if (settlement.kind === 'release') {
      delivery.state = RELEASED;
      this.released.push(delivery);
      // Not within this call: whoever gives something back does not expect more before that returns.
      queueMicrotask(() => this.feed());
      return Promise.resolve();
    }
    delivery.state = MOVING;
    return this.host.move(delivery, settlement).then(
      () => {
        delivery.state = DONE;
        this.accepted(delivery);
      },
      (error: unknown) => {
        delivery.state = OPEN;
        throw error;
      },
    );
  }

  /** No more deliveries; settlements still count. */
  hold(): void {
    this.held = true;
  }

  /** What was not settled is given back in good order: whoever gets it next must not take it for a crash. */
  letGo(): void {
    this.held = this.clean = true;
  }

  /** The partition is another's: settlements have no effect any more. */
  close(): void {
    this.closed = true;
    this.buffer.clear();
    this.window.clear();
    this.released = [];
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** What to commit now; undefined if the broker has it already. */
  position(): CommittedPosition | undefined {
    const { head } = this.window;
    const offset = head?.offset ?? this.buffer.position;
    const metadata = encodeNotes(offset, { attempt: this.attemptToNote(head, offset), done: this.doneBeyond() });
    return keyOf(offset, metadata) === this.confirmed ? undefined : { ...this.source, offset, metadata };
  }

  confirm({ offset, metadata }: CommittedPosition): void {
    this.confirmed = keyOf(offset, metadata);
  }

  private deliver(record: IncomingRecord): void {
    const origin = this.host.originOf(this.source, record);
    if (origin === undefined) {
      this.changed(0);
      return;
    }
    const counted = record.offset === this.start ? this.startAttempt : 1;
    const delivery = new KafkaDelivery(this, record, Math.max(counted, origin?.attempt ?? 1), origin ?? undefined);
    this.window.push(delivery);
    if (this.wasDone(record.offset)) {
      delivery.state = DONE;
      if (this.window.head === delivery) this.window.shrink();
      this.changed(0);
    } else {
      this.host.deliver(delivery);
    }
  }

  private wasDone(offset: number): boolean {
    while (this.done.length > 0 && (this.done[0] as DoneRange).to < offset) this.done.shift();
    return this.done.length > 0 && (this.done[0] as DoneRange).from <= offset;
  }

  private changed(accepted: number): void {
    if (this.host.commits && !this.closed) this.host.changed(this, accepted);
  }

  /** Whether the next record is on record as being tried; if not, puts it there first. Suspects pass one by one. */
  private passGate(): boolean {
    if (this.suspects > 0 && this.window.size > 0) return false;
    if (this.gate === 'open') {
      if (this.suspects > 0) {
        this.suspects--;
        this.gate = 'closed';
      }
      return true;
    }
    if (this.gate === 'closed') {
      this.gate = 'opening';
      void this.host.commitNow(this).then((written) => {
        if (!written) return;
        this.gate = 'open';
        this.feed();
      });
    }
    return false;
  }

  /** With which attempt the record at the position is to be delivered if this process goes no further. */
  private attemptToNote(head: KafkaDelivery | undefined, offset: number): number {
    if (head !== undefined) return this.clean ? head.attempt : head.attempt + 1;
    const attempt = offset === this.start ? this.startAttempt : 1;
    return this.gate === 'opening' && !this.clean ? attempt + 1 : attempt;
  }

  private doneBeyond(): DoneRange[] {
    const ranges = this.window.doneRanges();
    const unread = this.buffer.position;
    for (const { from, to } of this.done) if (to >= unread) ranges.push({ from: Math.max(from, unread), to });
    return ranges;
  }

  /** Only a wide window can need more notes than fit. */
  private isCrowded(): boolean {
    if (this.host.window <= 256 || !this.host.commits) return false;
    if (this.crowded || ++this.sinceCheck >= CHECK_EVERY) {
      this.sinceCheck = 0;
      const position = this.window.head?.offset ?? this.buffer.position;
      this.crowded = encodeNotes(position, { attempt: 1, done: this.doneBeyond() }).length > METADATA_ENOUGH;
    }
    return this.crowded;
  }
}

function keyOf(offset: number, metadata: string): string {
  return `${offset} ${metadata}`;
}
