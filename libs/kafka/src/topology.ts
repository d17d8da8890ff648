import { EventingError } from 'nestjs-eventing';
import { Alarm } from './backoff.js';
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
      const missing = await this.missingOf(topics);
      if (missing.length === 0) return;
      if (look > LOOKS) throw this.absent(missing);
      if (this.mode === 'create' && look === 1) await this.create(missing);
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

  private async missingOf(topics: readonly string[]): Promise<string[]> {
    const layouts = await this.driver.layout(topics, true);
    return topics.filter((topic) => layouts.get(topic)?.leaders.includes(-1) ?? true);
  }

  private absent(topics: readonly string[]): EventingError {
    const names = topics.join(', ');
    const plan = this.planOf(topics[0] ?? '');
    const settings = Object.entries(plan.config)
      .map(([name, value]) => ` --config ${name}=${value}`)
      .join('');
    const remedy =
      this.mode === 'create'
        ? 'Look at the health of the cluster.'
        : `Create it, e.g. kafka-topics.sh --create --topic ${plan.topic} --partitions ${plan.partitions}${settings}, ` +
          "or let this package do so with topology: 'create'.";
    const what = topics.length === 1 ? `The Kafka topic ${names} is` : `The Kafka topics ${names} are`;
    return new EventingError('EVT_TOPOLOGY', `${what} missing or without a leader. ${remedy}`);
  }
}
