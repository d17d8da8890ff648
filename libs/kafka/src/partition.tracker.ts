import type { Settlement, Timer } from 'nestjs-eventing';
import { AttemptGate } from './attempt.gate.js';
import { METADATA_ENOUGH, encodeNotes, type DoneRange, type PositionNotes } from './commit.metadata.js';
import { DeliveryWindow } from './delivery.window.js';
import { DONE, KafkaDelivery, MOVING, OPEN, RELEASED, WAITING } from './kafka.delivery.js';
import { sourceName, type CommittedPosition, type FetchedRecords, type IncomingRecord, type TopicPartition } from './kafka.driver.js'; // prettier-ignore
import { OutputLedger } from './output.ledger.js';
import type { ProducerRecord } from './producer.queue.js';
import { RecordBuffer } from './record.buffer.js';
import type { TrackerHost } from './tracker.host.js';
import { MOST_WAITING, WaitingRoom } from './waiting.room.js';

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
  private readonly ledger = new OutputLedger();
  private readonly waiting = new WaitingRoom();
  /** Released, or deferred until now: delivered before anything that was not yet. */
  private next: KafkaDelivery[] = [];
  /** Delivered and not settled. */
  private open = 0;
  private alarm: Timer | undefined;
  /** Settled by an owner before us, and not yet read again. */
  private readonly done: DoneRange[];
  private readonly gate: AttemptGate;
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
    this.done = [...start.notes.done];
    this.gate = new AttemptGate({ offset: start.offset, attempt: start.notes.attempt }, host);
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
      const waited = this.next[0];
      if (waited !== undefined) {
        if (waited.state === WAITING && this.open >= this.host.window) break;
        this.next.shift();
        this.deliverWaited(waited);
        continue;
      }
      const record = this.buffer.first;
      if (record === undefined || this.isWindowFull() || !this.passGate() || this.isCrowded()) break;
      this.buffer.shift();
      this.deliver(record);
    }
    this.feeding = false;
    if (!this.closed) this.buffer.tell();
  }

  accepted(delivery: KafkaDelivery): void {
    if (this.closed) return;
    this.open--;
    if (this.window.head === delivery) this.window.shrink(this.ledger);
    else if (this.waiting.size > 0) delivery.forget();
    this.changed(1);
    this.feed();
  }

  /** Release, defer and reject. */
  settleElse(delivery: KafkaDelivery, settlement: Settlement): Promise<void> {
    if (this.closed) return Promise.resolve();
    if (settlement.kind === 'release') {
      delivery.state = RELEASED;
      this.next.unshift(delivery);
      // Not within this call: whoever gives something back does not expect more before that returns.
      queueMicrotask(() => this.feed());
      return Promise.resolve();
    }
    if (settlement.kind === 'reject' && this.host.transactional) {
      delivery.outputs = this.recordsOf(settlement);
      delivery.state = DONE;
      this.accepted(delivery);
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
    this.waiting.clear();
    this.next = [];
    this.alarm?.cancel();
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** Everything before it is settled. */
  get offset(): number {
    return this.window.head?.offset ?? this.buffer.position;
  }

  /** Where reading goes on. */
  get readTo(): number {
    return this.buffer.end;
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

  /** By offset, as of now: with which attempt a record is to come again if its work is cut short and nobody dies. */
  attempts(): (offset: number) => number {
    const { head } = this.window;
    return (offset) => (head?.offset === offset ? head.attempt : this.gate.attemptAt(offset));
  }

  recordsOf(settlement: Settlement): readonly ProducerRecord[] {
    return this.host.recordsOf(settlement);
  }

  /** Outputs that are not committed, taken or not. */
  get outputCount(): number {
    return this.ledger.size;
  }

  /** Outputs of everything before `position()` that were not taken yet. */
  takeOutputs(): ProducerRecord[] {
    return this.ledger.take();
  }

  /** A transaction went through. */
  committed(position: CommittedPosition, outputs: readonly ProducerRecord[]): void {
    this.confirm(position);
    this.ledger.committed(outputs);
    this.feed();
  }

  private deliver(record: IncomingRecord): void {
    const origin = this.host.originOf(this.source, record);
    if (origin === undefined) return this.changed(0);
    const attempt = Math.max(this.gate.attemptAt(record.offset), origin?.attempt ?? 1);
    const delivery = new KafkaDelivery(this, record, attempt, origin ?? undefined);
    this.window.push(delivery);
    if (this.wasDone(record.offset)) {
      delivery.state = DONE;
      if (this.window.head === delivery) this.window.shrink(this.ledger);
      this.changed(0);
    } else if ((delivery.notBefore ?? 0) > this.host.clock.now()) {
      delivery.state = WAITING;
      delivery.keepApart();
      this.waiting.add(delivery);
      this.watch();
    } else {
      this.open++;
      this.host.deliver(delivery);
    }
  }

  private deliverWaited(waited: KafkaDelivery): void {
    if (waited.state === WAITING) {
      waited.state = OPEN;
      this.open++;
      // If it is the head, it is in work from now on, which a crash must tell.
      this.changed(0);
      this.host.deliver(waited);
    } else {
      const again = waited.again();
      this.window.replace(waited, again);
      this.host.deliver(again);
    }
  }

  /** Wakes when the next deferred message is due. */
  private watch(): void {
    const { nextDue } = this.waiting;
    this.alarm?.cancel();
    if (nextDue === undefined) return;
    const { clock } = this.host;
    this.alarm = clock.setTimeout(
      () => {
        this.next.push(...this.waiting.takeDue(clock.now()));
        this.watch();
        this.feed();
      },
      Math.max(1, nextDue - clock.now()),
    );
  }

  /** Where messages wait for their time, those settled behind them do not count, or one would hold up all. */
  private isWindowFull(): boolean {
    if (this.ledger.isFull) return true;
    if (this.waiting.size === 0 && this.next.length === 0) return this.window.size >= this.host.window;
    return this.open >= this.host.window || this.waiting.isFull || this.window.size >= 2 * MOST_WAITING;
  }

  private wasDone(offset: number): boolean {
    while (this.done.length > 0 && (this.done[0] as DoneRange).to < offset) this.done.shift();
    return this.done.length > 0 && (this.done[0] as DoneRange).from <= offset;
  }

  private changed(accepted: number): void {
    if (!this.closed) this.host.changed(this, accepted);
  }

  private passGate(): boolean {
    if (this.gate.isOpen) return true;
    const write = (): Promise<boolean> => this.host.commitNow(this);
    return this.gate.pass(this.window.size, write, () => this.feed());
  }

  /** With which attempt the record at the position is to be delivered if this process goes no further. */
  private attemptToNote(head: KafkaDelivery | undefined, offset: number): number {
    if (head !== undefined) return this.clean || head.state === WAITING ? head.attempt : head.attempt + 1;
    return this.gate.noteAt(offset, this.clean);
  }

  private doneBeyond(): DoneRange[] {
    const ranges = this.window.doneRanges();
    const unread = this.buffer.position;
    for (const { from, to } of this.done) if (to >= unread) ranges.push({ from: Math.max(from, unread), to });
    return ranges;
  }

  /** Only a wide window can need more notes than fit. */
  private isCrowded(): boolean {
    if (!this.host.commits || this.window.size <= 256) return false;
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
