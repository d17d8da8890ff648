import { randomUUID } from 'node:crypto';
import { type Admin, Kafka, type KafkaMessage, logLevel } from 'kafkajs';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { readCommit } from './commit.record.js';
import type { Committed, Numbered, Stored } from './history.js';

/** What the broker itself says of a channel and the group that reads it, by a client that is not ours. */
export class BrokerView {
  private readonly client: Kafka;
  private admin: Promise<Admin> | undefined;

  constructor(
    brokers: readonly string[],
    private readonly channel: string,
    private readonly group: string,
  ) {
    const retry = { retries: 0 };
    this.client = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING, connectionTimeout: 2_000, retry });
  }

  /** The group's position in each partition; -1 where it has none. */
  async positions(): Promise<ReadonlyMap<number, number>> {
    const [topic] = await this.ask((admin) => admin.fetchOffsets({ groupId: this.group, topics: [this.channel] }));
    return new Map(topic?.partitions.map(({ partition, offset }) => [partition, Number(offset)]));
  }

  /** Where the next record of each partition will be. */
  async ends(): Promise<ReadonlyMap<number, number>> {
    const ends = await this.ask((admin) => admin.fetchTopicOffsets(this.channel));
    return new Map(ends.map(({ partition, high }) => [partition, Number(high)]));
  }

  /** How many processes are in the group. */
  async members(): Promise<number> {
    const { groups } = await this.ask((admin) => admin.describeGroups([this.group]));
    return groups[0]?.members.length ?? 0;
  }

  /** Reads the whole channel. */
  async stored(): Promise<Stored[]> {
    const stored: Stored[] = [];
    await this.readAll(this.channel, (partition, { offset, value }) => {
      const { key, number } = JSON.parse(String(value)) as Numbered;
      stored.push({ key, number, partition, offset: Number(offset) });
    });
    return stored.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }

  /** Each position that the group ever committed in the channel, in the order in which the broker took them. */
  async commits(): Promise<Committed[]> {
    const commits: Committed[] = [];
    // A group's commits are in one partition of this topic, so that those of one partition of ours come in their order.
    await this.readAll('__consumer_offsets', (_, { key, value }) => {
      const commit = readCommit(key, value);
      if (commit?.group === this.group && commit.topic === this.channel) commits.push(commit);
    });
    return commits;
  }

  async close(): Promise<void> {
    await (await this.admin?.catch(() => undefined))?.disconnect();
  }

  private async readAll(topic: string, take: (partition: number, message: KafkaMessage) => void): Promise<void> {
    const ends = await this.ask((admin) => admin.fetchTopicOffsets(topic));
    const open = ends.filter(({ low, high }) => Number(high) > Number(low));
    const left = new Map(open.map(({ partition, high }) => [partition, Number(high)]));
    const consumer = this.client.consumer({ groupId: `reader-${randomUUID()}`, retry: { retries: 8 } });
    await consumer.connect();
    try {
      await consumer.subscribe({ topic, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachMessage: ({ partition, message }) => {
          take(partition, message);
          if (Number(message.offset) + 1 >= (left.get(partition) ?? 0)) left.delete(partition);
          return Promise.resolve();
        },
      });
      await eventually(`the whole of ${topic} is read`, () => left.size === 0, 60_000);
    } finally {
      await consumer.disconnect();
    }
  }

  /** Rejects while the broker is away; the next question tries anew. */
  private async ask<Answer>(question: (admin: Admin) => Promise<Answer>): Promise<Answer> {
    const admin = (this.admin ??= this.connect());
    try {
      return await question(await admin);
    } catch (error) {
      if (this.admin === admin) this.admin = undefined;
      void admin.then((open) => open.disconnect()).catch(() => undefined);
      throw error;
    }
  }

  private async connect(): Promise<Admin> {
    const admin = this.client.admin();
    await admin.connect();
    // Its questions about groups are put to brokers that it knows, and connecting alone tells it of none.
    await admin.describeCluster();
    return admin;
  }
}
