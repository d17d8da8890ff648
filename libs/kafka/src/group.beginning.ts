import { Alarm, backoff, type Subscription } from 'nestjs-eventing';
import { sourceName, type CommittedPosition, type TopicPartition } from './kafka.driver.js';
import { connectionError, hopeless } from './kafka.errors.js';
import { findStart } from './start.position.js';
import type { SubscriptionParts } from './tracked.partitions.js';

/** Attempts of which nothing is said: a group of a new cluster finds no coordinator at first. */
const QUIET_ATTEMPTS = 4;

/** Where the partitions of a group begin that have no position, and whether all of them have one. */
export class GroupBeginning {
  /** Partitions of topics that had no position at all before we joined: they begin where the subscription says. */
  private readonly unseen = new Map<string, number>();
  private readonly alarm = new Alarm();
  private stopped = false;

  constructor(
    private readonly parts: SubscriptionParts,
    private readonly subscription: Subscription,
    private readonly group: string,
    private readonly topics: readonly string[],
  ) {}

  /** Finds out which topics are new to this group. Waits for the broker for as long as it takes. */
  async look(): Promise<void> {
    const { driver, topology, retry, context } = this.parts;
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        await topology.ensure(this.topics);
        // What a last process left behind by dying.
        if (!this.subscription.durable) await driver.forgetGroup(this.group);
        const sources = await this.sources();
        const { positions, unstable } = await driver.positions(this.group, sources);
        const known = new Set([...positions, ...unstable].map(({ topic }) => topic));
        for (const { topic, partition } of sources) if (!known.has(topic)) this.unseen.set(topic, partition + 1);
        // A known subscription with a new retry topic: whatever is in there may be its own.
        if (known.size > 0) this.unseen.delete(retry.topic);
        return;
      } catch (error) {
        const final = hopeless(error);
        if (final !== undefined) throw final;
        if (attempt === QUIET_ATTEMPTS) context.logger.warn(connectionError(error).message);
        await this.alarm.sleep(backoff(attempt, 100, 2_000));
      }
    }
  }

  /** Partitions that were added later, and everything after the first time, begin at the beginning: nothing is left out. */
  async of(sources: readonly TopicPartition[]): Promise<CommittedPosition[]> {
    const { retry, driver } = this.parts;
    const first = sources.filter(({ topic, partition }) => partition < (this.unseen.get(topic) ?? 0));
    const found = new Map([
      ...(await findStart(
        driver,
        this.subscription.from,
        first.filter(({ topic }) => topic !== retry.topic),
      )),
      ...(await findStart(
        driver,
        'first-subscription',
        first.filter(({ topic }) => topic === retry.topic),
      )),
      ...(await findStart(
        driver,
        'earliest',
        sources.filter((source) => !first.includes(source)),
      )),
    ]);
    return sources.flatMap((source) => {
      const offset = found.get(sourceName(source));
      return offset === undefined ? [] : [{ ...source, offset, metadata: '' }];
    });
  }

  /**
   * Resolves to true when each partition has a position: other members may hold some of them, and write theirs at this moment. To false
   * when it was stopped before.
   */
  async isOver(): Promise<boolean> {
    for (let attempt = 1; !this.stopped; attempt++) {
      try {
        const sources = await this.sources();
        const { positions, unstable } = await this.parts.driver.positions(this.group, sources);
        if (positions.length + unstable.length === sources.length) {
          this.unseen.clear();
          return true;
        }
      } catch {
        // The membership reports what is wrong.
      }
      await this.alarm.sleep(backoff(attempt, 20, 500));
    }
    return false;
  }

  stop(): void {
    this.stopped = true;
    this.alarm.wake();
  }

  private async sources(): Promise<TopicPartition[]> {
    const layouts = await this.parts.driver.layout(this.topics);
    return [...layouts.values()].flatMap(({ topic, leaders }) => leaders.map((_, partition) => ({ topic, partition })));
  }
}
