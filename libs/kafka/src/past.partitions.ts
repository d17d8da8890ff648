import { sourceName, DriverError, type FetchedRecords, type TopicPartition } from './kafka.driver.js';
import type { PartitionTracker } from './partition.tracker.js';
import { NO_NOTES, TrackedPartitions } from './tracked.partitions.js';

/** How often a topic that is missing is looked for, and the milliseconds between. Leaders come and go within that. */
const LOOKS = 10;
const LOOK_PAUSE = 500;
const MISSING = 'UNKNOWN_TOPIC_OR_PARTITION';

/**
 * Partitions that are read up to an end, each its own: what is stored behind it is not for this subscription. Whether an end is reached
 * is told by where reading stands, for the last thing before it may be a transaction's marker, or gone.
 */
export class PastPartitions extends TrackedPartitions {
  /** Of those that are not all settled. */
  private readonly ends = new Map<string, number>();
  private readonly doubted = new Set<string>();
  /** Of those that cannot be read now. */
  private readonly failing = new Set<string>();
  /** Waiting in the retry topic. */
  private deferred = 0;
  private areAllAdded = false;
  /** Records before the ends are gone that were to be delivered. */
  private isLacking = false;
  private tellEnd: (end?: 'incomplete') => void = () => undefined;
  /** Resolves when each record before the ends is settled, or when it is closed: to `incomplete` where not all of them were. */
  readonly ended = new Promise<'incomplete' | void>((resolve) => (this.tellEnd = resolve));

  /** @param end what is stored at this offset or behind it is left out */
  addUntil(source: TopicPartition, offset: number, end: number): void {
    if (offset >= end) return;
    this.ends.set(sourceName(source), end);
    this.add(source, { offset, notes: NO_NOTES });
  }

  /** All partitions are added. */
  allAdded(): void {
    this.areAllAdded = true;
    this.conclude();
  }

  override lag(): Promise<number> {
    const open = [...this.trackers.values()];
    return Promise.resolve(
      open.reduce((sum, tracker) => sum + Math.max(0, (this.ends.get(tracker.name) ?? 0) - tracker.offset), 0),
    );
  }

  override close(): void {
    this.ends.clear();
    super.close();
    this.tellEnd('incomplete');
  }

  override changed(tracker: PartitionTracker, accepted: number): void {
    if (tracker.source.topic === this.parts.retry.topic) this.deferred -= accepted;
    const end = this.ends.get(tracker.name);
    if (end !== undefined && tracker.offset >= end) {
      this.ends.delete(tracker.name);
      this.drop([tracker.source]);
    }
    this.conclude();
  }

  override async move(...[delivery, settlement]: Parameters<TrackedPartitions['move']>): Promise<void> {
    await super.move(delivery, settlement);
    if (settlement.kind === 'defer') this.deferred++;
  }

  override records(source: TopicPartition, fetched: FetchedRecords): void {
    const end = this.ends.get(sourceName(source));
    this.failing.delete(sourceName(source));
    if (end !== undefined && fetched.endOffset < end) void this.doubt(source);
    if (end === undefined || fetched.nextOffset < end) return super.records(source, fetched);
    this.reader.remove(source);
    const records = fetched.records.filter(({ offset }) => offset < end);
    super.records(source, { ...fetched, records, nextOffset: end });
  }

  override idle(source: TopicPartition, fetched: FetchedRecords, isBare: boolean): void {
    const end = this.ends.get(sourceName(source));
    this.failing.delete(sourceName(source));
    super.idle(source, fetched, isBare);
    if (end === undefined) return;
    // All that was there has been compacted away: no batch is left that would move the place.
    if (isBare && fetched.endOffset >= end) this.records(source, { ...fetched, nextOffset: end });
    else if (fetched.endOffset < end) void this.doubt(source);
  }

  override async outOfRange(source: TopicPartition, offset: number): Promise<number> {
    const end = this.ends.get(sourceName(source));
    if (end === undefined) return super.outOfRange(source, offset);
    this.failing.delete(sourceName(source));
    const next = await this.oldest(source, offset);
    if (next <= offset) {
      this.endEarly(source, 'the topic was made anew');
    } else {
      this.isLacking = true;
      const gone = `${offset} to ${Math.min(next, end) - 1} of ${sourceName(source)}`;
      this.parts.context.logger.warn(`EVT_POSITION: ${this.subscription.name} leaves out ${gone}, which is not kept.`);
      if (next >= end) this.records(source, { records: [], nextOffset: end, endOffset: end });
    }
    return next;
  }

  /** Only the first failure of a spell is told, whatever follows. */
  override failed(source: TopicPartition, error: Error): void {
    if (!this.ends.has(sourceName(source))) return super.failed(source, error);
    // It is not created again: the past that was asked for would not be in it.
    const isMissing = error instanceof DriverError && error.type === MISSING;
    if (!isMissing) super.failed(source, error);
    if (!this.failing.has(sourceName(source))) void this.lookFor(source);
  }

  private conclude(): void {
    if (!this.areAllAdded || this.ends.size > 0 || this.deferred > 0) return;
    this.tellEnd(this.isLacking ? 'incomplete' : undefined);
  }

  /** A log that ends before its noted end is another one. A new leader may not know the end at once; it is asked in a way that waits. */
  private async doubt(source: TopicPartition): Promise<void> {
    const name = sourceName(source);
    if (this.doubted.has(name)) return;
    this.doubted.add(name);
    try {
      const latest = await this.parts.driver.offsets(source.topic, [source.partition], 'latest');
      const end = this.ends.get(name);
      if (end !== undefined && (latest.get(source.partition) ?? end) < end)
        this.endEarly(source, 'the topic was made anew, or lost what it held');
    } catch {
      // The next answer asks again.
    }
    this.doubted.delete(name);
  }

  /** Until it can be read again, or its topic stays away. */
  private async lookFor(source: TopicPartition): Promise<void> {
    const { driver, context } = this.parts;
    const name = sourceName(source);
    this.failing.add(name);
    for (let missing = 0; missing < LOOKS;) {
      await new Promise<void>((resolve) => void context.clock.setTimeout(resolve, LOOK_PAUSE));
      if (!this.failing.has(name) || !this.ends.has(name)) return;
      const found = await driver.layout([source.topic], true).catch(() => undefined);
      // Nobody knows while no broker answers.
      if (found !== undefined) missing = found.has(source.topic) ? 0 : missing + 1;
    }
    this.failing.delete(name);
    this.endEarly(source, 'the topic was deleted');
  }

  /** What was delivered of it is still settled before the end is told. */
  private endEarly(source: TopicPartition, why: string): void {
    const name = sourceName(source);
    const tracker = this.trackers.get(name);
    const end = this.ends.get(name);
    if (tracker === undefined || end === undefined) return;
    this.parts.context.logger.error(
      `EVT_POSITION: ${this.subscription.name} ends at ${tracker.readTo} of ${name} and not at ${end}: ${why}.`,
    );
    this.isLacking = true;
    this.reader.remove(source);
    this.ends.set(name, tracker.readTo);
    this.changed(tracker, 0);
  }
}
