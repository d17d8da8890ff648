import { setTimeout as sleep } from 'node:timers/promises';
import { onFreePorts } from '../broker-process.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { KafkaInstallation } from './kafka-installation.js';
import { KafkaNode } from './kafka-node.js';
import { jvmOptions, type KafkaAccess, type KafkaOptions } from './kafka-options.js';
import type { KafkaPorts } from './kafka-properties.js';
import { secureListener, type ListenerSecurity } from './kafka-security.js';
import { kafkaUuid } from './kafka-storage.js';

export interface KafkaClusterOptions extends KafkaOptions {
  /** @default 1 */
  readonly nodes?: number | undefined;
  /** Further options for Java. */
  readonly jvm?: readonly string[] | undefined;
}

/** Nodes that are each broker and controller, each killable by itself. Three survive the loss of any one of them. */
export class KafkaCluster {
  readonly available = true;

  private constructor(
    readonly nodes: readonly KafkaNode[],
    private readonly secrets: ListenerSecurity['access'],
    private readonly folder: ScratchFolder,
  ) {}

  /** What a client needs to connect. A new copy each time: kafkajs keeps its authenticator in the object it is given. */
  get access(): KafkaAccess {
    return structuredClone({ ...this.secrets, brokers: this.nodes.map((node) => node.address) });
  }

  static async start(installation: KafkaInstallation, options: KafkaClusterOptions = {}): Promise<KafkaCluster> {
    return onFreePorts((options.nodes ?? 1) * 3, options.port, async (ports) => {
      const cluster = await KafkaCluster.prepare(installation, planPorts(ports), options);
      try {
        await cluster.startAll();
        return cluster;
      } catch (error) {
        await cluster.close();
        throw error;
      }
    });
  }

  /** By its place, from 0; its id is one more. */
  node(index: number): KafkaNode {
    const node = this.nodes[index];
    if (!node) throw new Error(`This cluster has no node ${index}, only ${this.nodes.length} nodes`);
    return node;
  }

  /** Resolves when every running node sees `count` nodes taking part. */
  async untilLive(count: number, timeout = 30_000): Promise<void> {
    const deadline = Date.now() + timeout;
    for (const node of this.nodes.filter((each) => each.isRunning)) {
      while ((await node.liveBrokers().catch(() => [])).length !== count) {
        if (Date.now() > deadline) throw new Error(`Kafka node ${node.id} does not see ${count} live nodes.`);
        await sleep(25);
      }
    }
  }

  /**
   * Kills all nodes and starts them on the same ports without their topics. There is no wiping of one node: a voter that
   * forgot its vote would break the quorum's promises, and Kafka rightly refuses to go on with it.
   */
  async wipe(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await Promise.all(this.nodes.map((node) => node.removeData()));
    await this.startAll();
  }

  /** The end: all nodes are killed and their data removed. */
  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()));
    await this.folder.remove();
  }

  private async startAll(): Promise<void> {
    // Together: one alone would wait for a majority of controllers.
    const starts = await Promise.allSettled(this.nodes.map((node) => node.start()));
    for (const start of starts) if (start.status === 'rejected') throw start.reason;
    await this.untilLive(this.nodes.length);
  }

  private static async prepare(
    installation: KafkaInstallation,
    ports: readonly KafkaPorts[],
    options: KafkaClusterOptions,
  ): Promise<KafkaCluster> {
    const folder = await ScratchFolder.create('kafka');
    const security = await secureListener(options.security ?? 'plaintext', installation.java, folder.path);
    const shared = { ports, security, extra: options.properties ?? {} };
    const jvm = [...jvmOptions(options.profile), ...(options.jvm ?? [])];
    const clusterId = kafkaUuid();
    const nodes = ports.map(
      (_, i) => new KafkaNode(installation, { plan: { ...shared, id: i + 1 }, clusterId, folder: folder.path, jvm }),
    );
    return new KafkaCluster(nodes, security.access, folder);
  }
}

/** Three for each node. */
function planPorts(free: readonly number[]): KafkaPorts[] {
  return Array.from({ length: free.length / 3 }, (_, i) => {
    const [client = 0, internal = 0, controller = 0] = free.slice(i * 3, i * 3 + 3);
    return { client, internal, controller };
  });
}
