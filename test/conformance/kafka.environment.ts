import { ConfigResourceTypes, Kafka, logLevel } from 'kafkajs';
import { kafka } from 'nestjs-eventing/kafka';
import type { ConformanceCluster, ConformanceEnvironment } from 'nestjs-eventing/testing';
import type { BrokerLine } from './broken.broker.js';
import { InstanceNetwork } from './instance.network.js';

/** How long a process may be silent before its partitions move. Short, so that crashes are not waited for. */
const SESSION_TIMEOUT = 2_000;

/** A real Kafka, shared by all cases; every process has a network of its own, which can be cut. */
export function kafkaEnvironment(brokers: () => readonly string[], line?: BrokerLine): ConformanceEnvironment {
  return {
    name: 'kafka',
    patience: 55_000,
    silence: 1_000,
    traits: {
      countsCrashes: true,
      repeatsBeyondGap: false,
      repeatsOnMove: false,
      windowCountsFromGap: true,
      movesSources: true,
      ownershipTimeout: SESSION_TIMEOUT,
    },
    open: () => Promise.resolve(new KafkaArea(brokers(), line)),
  };
}

class KafkaArea implements ConformanceCluster {
  readonly #networks = new Map<string, InstanceNetwork>();
  readonly #dead = new Set<string>();
  readonly #admin: ReturnType<Kafka['admin']>;
  #away = false;

  constructor(
    private readonly brokers: readonly string[],
    private readonly line: BrokerLine | undefined,
  ) {
    this.#admin = new Kafka({ brokers: [...brokers], logLevel: logLevel.NOTHING }).admin();
  }

  provider(instance: string): ReturnType<typeof kafka> {
    const network = this.#networks.get(instance) ?? new InstanceNetwork();
    this.#networks.set(instance, network);
    if (this.#away) network.cut();
    return kafka({
      brokers: this.brokers,
      openSocket: network.open,
      transactions: true,
      sessionTimeout: SESSION_TIMEOUT,
      heartbeatInterval: SESSION_TIMEOUT / 8,
      // A broker that is stopped and not dead says nothing: only these tell.
      connectionTimeout: 2_000,
      requestTimeout: 4_000,
      livenessInterval: 1_000,
      livenessTimeout: 3_000,
    });
  }

  crash(instance: string): void {
    this.#dead.add(instance);
    this.#networks.get(instance)?.cut();
  }

  async disconnect(): Promise<void> {
    if (this.line !== undefined) return this.line.disconnect();
    this.#away = true;
    for (const network of this.#networks.values()) network.cut();
  }

  async connect(): Promise<void> {
    if (this.line !== undefined) return this.line.connect();
    this.#away = false;
    for (const [instance, network] of this.#networks) if (!this.#dead.has(instance)) network.mend();
  }

  /** A topic that takes messages of at most one byte takes none. */
  async makePublishFail(channel: string): Promise<void> {
    await this.#limit(channel, '1');
  }

  async makeDeadLettersFail(service: string): Promise<() => Promise<void>> {
    await this.#limit(`${service}.dead-letters`, '1');
    return () => this.#limit(`${service}.dead-letters`, '20000000');
  }

  async remains(): Promise<readonly string[]> {
    await this.#admin.connect();
    const { groups } = await this.#admin.listGroups();
    return groups.map(({ groupId }) => groupId);
  }

  async close(): Promise<void> {
    for (const network of this.#networks.values()) network.cut();
    await this.#admin.disconnect();
  }

  async #limit(topic: string, bytes: string): Promise<void> {
    const type = ConfigResourceTypes.TOPIC;
    await this.#admin.connect();
    await this.#admin.alterConfigs({
      validateOnly: false,
      resources: [{ type, name: topic, configEntries: [{ name: 'max.message.bytes', value: bytes }] }],
    });
    for (let found: string | undefined; found !== bytes;) {
      const { resources } = await this.#admin.describeConfigs({
        includeSynonyms: false,
        resources: [{ type, name: topic, configNames: ['max.message.bytes'] }],
      });
      found = resources[0]?.configEntries[0]?.configValue;
    }
  }
}
