import { EventingError, Alarm } from 'nestjs-eventing';
import { DriverError, type KafkaDriver, type TopicLayout, type TopicPlan } from './kafka.driver.js';
import type { TopicSource } from './producer.topics.js';

/** Kafka's own rule for names of topics. */
const TOPIC_NAME = /^(?!\.{1,2}$)[a-zA-Z0-9._-]{1,249}$/;
/** A topic that another process has just made is not known to each broker at once. */
const LOOKS = 5;
const LOOK_PAUSE = 200;
/** Longer than a cluster takes to count a broker that came back. Milliseconds. */
const UNFENCED = 15_000;

/** Creates the topics that are missing, or under `check` says which and what to do. */
export class Topology implements TopicSource {
  private readonly alarm = new Alarm();

  constructor(
    private readonly driver: KafkaDriver,
    private readonly mode: 'create' | 'check',
    private readonly planOf: (topic: string) => TopicPlan,
  ) {}

  /** Rejects with EVT_TOPOLOGY where a topic is missing and must not be created, or cannot be. */
  async ensure(topics: readonly string[]): Promise<void> {
    for (const topic of topics) {
      if (TOPIC_NAME.test(topic)) continue;
      throw new EventingError(
        'EVT_TOPOLOGY',
        `Kafka cannot have a topic named ${JSON.stringify(topic)}. Use letters, digits, ".", "_" and "-", at most 249, for the channel.`,
      );
    }
    for (let look = 1; ; look++) {
      const { absent, leaderless } = await this.lacking(topics);
      if (absent.length === 0 && leaderless.length === 0) return;
      // A partition without a leader is no reason to do without the others; who needs it waits for it.
      if (look > LOOKS && absent.length === 0) return;
      if (look > LOOKS) throw this.complaint(absent);
      if (this.mode === 'create' && look === 1 && absent.length > 0) await this.create(absent);
      else await this.alarm.sleep(LOOK_PAUSE);
    }
  }

  async layout(topic: string): Promise<TopicLayout | undefined> {
    return (await this.driver.layout([topic])).get(topic);
  }

  missing(topic: string): Promise<void> {
    return this.ensure([topic]);
  }

  private async create(topics: readonly string[]): Promise<void> {
    for (const end = Date.now() + UNFENCED; ; await this.alarm.sleep(LOOK_PAUSE)) {
      try {
        await this.driver.createTopics(topics.map((topic) => this.planOf(topic)));
        return;
      } catch (error) {
        // Also said of a cluster whose brokers have just come back and do not count yet.
        const early = error instanceof DriverError && error.type === 'INVALID_REPLICATION_FACTOR';
        if (!early || Date.now() > end) throw error;
      }
    }
  }

  private async lacking(topics: readonly string[]): Promise<{ absent: string[]; leaderless: string[] }> {
    const layouts = await this.driver.layout(topics, true);
    return {
      absent: topics.filter((topic) => !layouts.has(topic)),
      leaderless: topics.filter((topic) => layouts.get(topic)?.leaders.includes(-1)),
    };
  }

  private complaint(absent: readonly string[]): Error {
    const names = absent.join(', ');
    // Made, and not yet known to the broker that we asked: waiting mends that.
    if (this.mode === 'create') return new DriverError('UNKNOWN_TOPIC_OR_PARTITION', `${names} cannot be seen yet`);
    const { topic, partitions, config } = this.planOf(absent[0] ?? names);
    const settings = Object.entries(config).map(([name, value]) => ` --config ${name}=${value}`);
    const what = absent.length === 1 ? `The Kafka topic ${names} is` : `The Kafka topics ${names} are`;
    return new EventingError(
      'EVT_TOPOLOGY',
      `${what} missing. Create it, e.g. kafka-topics.sh --create --topic ${topic} --partitions ${partitions}` +
        `${settings.join('')}, or let this package do so with topology: 'create'.`,
    );
  }
}
