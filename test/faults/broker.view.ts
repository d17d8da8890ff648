import { randomUUID } from 'node:crypto';
import { type Admin, Kafka, logLevel } from 'kafkajs';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import type { Numbered, Stored } from './history.js';

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
    const left = new Map([...(await this.ends())].filter(([, end]) => end > 0));
    const stored: Stored[] = [];
    const consumer = this.client.consumer({ groupId: `reader-${randomUUID()}`, retry: { retries: 8 } });
    await consumer.connect();
    try {
      await consumer.subscribe({ topic: this.channel, fromBeginning: true });
      await consumer.run({
        autoCommit: false,
        eachMessage: ({ partition, message }) => {
          const { key, number } = JSON.parse(String(message.value)) as Numbered;
          stored.push({ key, number, partition, offset: Number(message.offset) });
          if (Number(message.offset) + 1 >= (left.get(partition) ?? 0)) left.delete(partition);
          return Promise.resolve();
        },
      });
      await eventually('the whole channel is read', () => left.size === 0, 60_000);
    } finally {
      await consumer.disconnect();
    }
    return stored.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
  }

  async close(): Promise<void> {
    await (await this.admin?.catch(() => undefined))?.disconnect();
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
