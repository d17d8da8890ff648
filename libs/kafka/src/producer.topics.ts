import { EventingError, Alarm, backoff } from 'nestjs-eventing';
import { hopeless, refusal } from './kafka.errors.js';
import type { TopicLayout } from './kafka.driver.js';
import { partitionOf } from './murmur2.js';
import { ProducerLane, type QueuedRecord } from './producer.lane.js';

/** Where topics are learned from. */
export interface TopicSource {
  /** Undefined while the topic does not exist. */
  layout(topic: string): Promise<TopicLayout | undefined>;
  /** The topic is missing. Creates it, or rejects with an `EventingError` where it must not. */
  missing(topic: string): Promise<void>;
}

class Topic {
  readonly lanes: ProducerLane[] = [];
  leaders: readonly number[] = [];
  /** Before the partitions are known. */
  waiting: QueuedRecord[] = [];
  learning = false;
  stale = true;
  /** Records without key go to one partition until its batch is taken, or some dozens are in it: fewer, larger batches. */
  sticky = 0;
  stuck = 0;
  /** Milliseconds since 1970. */
  learnAgainAt = Infinity;

  constructor(readonly name: string) {}
}

/** Records without key that go to one partition in a row. */
const STICKY = 64;

function moveOn(topic: Topic): void {
  topic.sticky = (topic.sticky + 1) % topic.leaders.length;
  topic.stuck = 0;
}

/** Which partition a message goes to, and which broker that belongs to now. */
export class ProducerTopics {
  private readonly topics = new Map<string, Topic>();
  private readonly alarm = new Alarm();
  private closed = false;
  /** Why the last attempt failed, for those who hear that their time is over. */
  lastError: Error | undefined;

  constructor(
    private readonly source: TopicSource,
    /** Milliseconds after which what is known of a topic is asked for again. */
    private readonly maxAge: number,
    private readonly changed: () => void,
  ) {}

  add(name: string, record: QueuedRecord): void {
    let topic = this.topics.get(name);
    if (topic === undefined) this.topics.set(name, (topic = new Topic(name)));
    if (topic.leaders.length === 0 || topic.waiting.length > 0) topic.waiting.push(record);
    else this.place(topic, record);
    if (topic.stale) void this.learn(topic);
  }

  /** Lanes with work, and their leaders. Also looks for partitions that were added, where it is time to. */
  *ready(now: number): Iterable<[ProducerLane, number]> {
    for (const topic of this.topics.values()) {
      if (topic.learnAgainAt <= now) void this.learn(topic);
      for (const lane of topic.lanes) if (lane.hasWork) yield [lane, topic.leaders[lane.partition] ?? -1];
    }
  }

  /** A batch of this lane is complete: records without key go elsewhere now. */
  taken(lane: ProducerLane): void {
    const topic = this.topics.get(lane.topic);
    if (topic?.sticky === lane.partition) moveOn(topic);
  }

  *lanes(): Iterable<ProducerLane> {
    for (const topic of this.topics.values()) yield* topic.lanes;
  }

  /** Sending failed in a way that may mean another leader. */
  failed(lane: ProducerLane, error: Error): void {
    this.lastError = error;
    const topic = this.topics.get(lane.topic);
    if (topic !== undefined) void this.learn(topic);
  }

  prune(): void {
    for (const topic of this.topics.values()) topic.waiting = topic.waiting.filter((record) => !record.done);
  }

  close(): void {
    this.closed = true;
    this.alarm.wake();
  }

  private place(topic: Topic, record: QueuedRecord): void {
    const count = topic.leaders.length;
    let partition = record.place?.(count);
    partition ??= record.key === undefined ? this.stickyPartition(topic) : partitionOf(record.key, count);
    (topic.lanes[partition] as ProducerLane).push(record);
  }

  private stickyPartition(topic: Topic): number {
    if (topic.stuck++ >= STICKY) moveOn(topic);
    for (let step = 0; step < topic.leaders.length; step++) {
      const partition = (topic.sticky + step) % topic.leaders.length;
      if (topic.leaders[partition] !== -1) return partition;
    }
    return topic.sticky;
  }

  private async learn(topic: Topic): Promise<void> {
    topic.stale = true;
    if (topic.learning) return;
    topic.learning = true;
    topic.learnAgainAt = Infinity;
    for (let attempt = 1; topic.stale && !this.closed; attempt++) {
      try {
        const layout = await this.source.layout(topic.name);
        if (layout === undefined) await this.source.missing(topic.name);
        else this.adopt(topic, layout);
      } catch (error) {
        this.lastError = error as Error;
        const final = hopeless(error);
        if (final !== undefined) {
          this.refuse(topic, final);
          break;
        }
      }
      if (topic.stale) await this.alarm.sleep(backoff(attempt, 20, 1_000));
    }
    topic.learning = false;
  }

  private adopt(topic: Topic, layout: TopicLayout): void {
    topic.leaders = layout.leaders;
    topic.learnAgainAt = Date.now() + this.maxAge;
    for (let partition = topic.lanes.length; partition < layout.leaders.length; partition++) {
      topic.lanes.push(new ProducerLane(topic.name, partition));
    }
    topic.stale = layout.leaders.includes(-1);
    for (const record of topic.waiting) if (!record.done) this.place(topic, record);
    topic.waiting = [];
    this.changed();
  }

  /** This topic alone will not work: those who wait for it hear so now. */
  private refuse(topic: Topic, error: EventingError): void {
    for (const record of topic.waiting) record.call.failed(record, refusal(error, topic.name), false);
    topic.waiting = [];
  }
}
