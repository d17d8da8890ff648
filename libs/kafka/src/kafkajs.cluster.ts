import { DriverError, type TopicLayout } from './kafka.driver.js';
import { parseAddress } from './kafka.options.js';
import { asDriverError, errorOfCode } from './kafkajs.codes.js';
import { KafkajsConnection, type ConnectionSettings } from './kafkajs.connection.js';
import { Alarm, backoff } from './backoff.js';

interface Address {
  readonly host: string;
  readonly port: number;
}

interface MetadataAnswer {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[];
  readonly controllerId: number;
  readonly topicMetadata: readonly {
    readonly topicErrorCode: number;
    readonly topic: string;
    readonly partitionMetadata: readonly { readonly partitionId: number; readonly leader: number }[];
  }[];
}

interface KnownLayout {
  readonly layout: TopicLayout;
  readonly at: number;
}

/** Told when no broker can be reached, and when one can again. */
export interface ClusterWatcher {
  up(): void;
  down(cause: Error): void;
}

const UNKNOWN_TOPIC = 3;
const LEADER_NOT_AVAILABLE = 5;

/**
 * Who the brokers are, who leads what, and the connections to them. A connection belongs to a lane (`control`, `produce`,
 * one for each group…): a broker answers the requests of one connection in their order, and a join or a fetch may take seconds.
 */
export class KafkajsCluster {
  private readonly nodes = new Map<number, Address>();
  private readonly layouts = new Map<string, KnownLayout>();
  private readonly connections = new Map<string, Promise<KafkajsConnection>>();
  private readonly alarm = new Alarm();
  private controllerId = -1;
  private closed = false;
  private reconnecting = false;

  constructor(
    private readonly settings: ConnectionSettings,
    private readonly watcher: ClusterWatcher,
  ) {}

  /** Any broker, for what each of them can answer. Kept open, and so the first to notice that the cluster is gone. */
  async control(): Promise<KafkajsConnection> {
    return this.lease('control', async () => {
      let failure = new DriverError('BROKER_NOT_AVAILABLE', 'no broker is known');
      for (const address of this.candidates()) {
        try {
          const connection = await this.open(address);
          connection.onClose = () => void this.reconnect();
          return connection;
        } catch (error) {
          failure = asDriverError(error);
        }
      }
      throw failure;
    });
  }

  async node(nodeId: number, lane: string): Promise<KafkajsConnection> {
    const address = this.nodes.get(nodeId);
    if (address === undefined) throw new DriverError('BROKER_NOT_AVAILABLE', `broker ${nodeId} is not known`);
    return this.lease(`${nodeId}/${address.host}:${address.port}/${lane}`, () => this.open(address));
  }

  async controller(): Promise<KafkajsConnection> {
    if (!this.nodes.has(this.controllerId)) await this.metadata([]);
    return this.nodes.has(this.controllerId) ? this.node(this.controllerId, 'control') : this.control();
  }

  async coordinator(group: string, lane: string): Promise<KafkajsConnection> {
    const control = await this.control();
    const answer = await control.call<{
      errorCode: number;
      coordinator: { nodeId: number; host: string; port: number };
    }>('GroupCoordinator', { groupId: group, coordinatorType: 0 });
    const error = errorOfCode(answer.errorCode, `the coordinator of group ${group}`);
    if (error !== undefined) throw error;
    const { nodeId, host, port } = answer.coordinator;
    this.nodes.set(nodeId, { host, port });
    return this.node(nodeId, lane);
  }

  async layout(topics: readonly string[], fresh = false): Promise<Map<string, TopicLayout>> {
    const oldest = Date.now() - this.settings.options.metadataMaxAge;
    const asked = fresh ? topics : topics.filter((topic) => (this.layouts.get(topic)?.at ?? 0) < oldest);
    if (asked.length > 0) await this.metadata(asked);
    const found = new Map<string, TopicLayout>();
    for (const topic of topics) {
      const known = this.layouts.get(topic);
      if (known !== undefined) found.set(topic, known.layout);
    }
    return found;
  }

  /** Forgets what is known of these topics, because a broker said that it is no longer so. */
  invalidate(topic: string): void {
    this.layouts.delete(topic);
  }

  /** Closes the connections of a lane. */
  release(lane: string): void {
    for (const [key, connection] of this.connections) {
      if (!key.endsWith(`/${lane}`)) continue;
      this.connections.delete(key);
      void connection.then((open) => open.close()).catch(() => undefined);
    }
  }

  close(): void {
    this.closed = true;
    this.alarm.wake();
    for (const connection of this.connections.values()) {
      void connection.then((open) => open.close()).catch(() => undefined);
    }
    this.connections.clear();
  }

  private async metadata(topics: readonly string[]): Promise<void> {
    const control = await this.control();
    // An empty list asks for every topic of the cluster; a name that cannot be one asks for the brokers alone.
    const answer = await control.call<MetadataAnswer>('Metadata', {
      topics: topics.length === 0 ? ['__cluster_metadata'] : [...topics],
      allowAutoTopicCreation: false,
    });
    this.controllerId = answer.controllerId;
    this.nodes.clear();
    for (const { nodeId, host, port } of answer.brokers) this.nodes.set(nodeId, { host, port });
    let failure: DriverError | undefined;
    for (const { topicErrorCode, topic, partitionMetadata } of answer.topicMetadata) {
      if (topicErrorCode !== 0 && topicErrorCode !== LEADER_NOT_AVAILABLE) {
        this.layouts.delete(topic);
        if (topicErrorCode !== UNKNOWN_TOPIC && topics.length > 0)
          failure = errorOfCode(topicErrorCode, `topic ${topic}`);
        continue;
      }
      const leaders = new Array<number>(partitionMetadata.length).fill(-1);
      for (const { partitionId, leader } of partitionMetadata) leaders[partitionId] = leader;
      if (leaders.length > 0) this.layouts.set(topic, { layout: { topic, leaders }, at: Date.now() });
    }
    if (failure !== undefined) throw failure;
  }

  /** The open connection of that key, or a new one; callers at the same time share it. */
  private async lease(key: string, open: () => Promise<KafkajsConnection>): Promise<KafkajsConnection> {
    const present = this.connections.get(key);
    if (present !== undefined) {
      const connection = await present;
      if (connection.usable) return connection;
      if (this.connections.get(key) === present) this.connections.delete(key);
      else return this.lease(key, open);
    }
    if (this.closed) throw new DriverError('CONNECTION_CLOSED', 'the client is closed');
    const opening = open();
    this.connections.set(key, opening);
    try {
      const connection = await opening;
      if (this.closed) connection.close();
      return connection;
    } catch (error) {
      if (this.connections.get(key) === opening) this.connections.delete(key);
      throw error;
    }
  }

  private async open(address: Address): Promise<KafkajsConnection> {
    const connection = new KafkajsConnection(address.host, address.port, this.settings);
    await connection.open();
    // Somebody got through: the control connection need not wait for its next attempt.
    if (this.reconnecting) this.alarm.wake();
    return connection;
  }

  /** The control connection broke: says so if nobody can be reached, and tries until somebody can. */
  private async reconnect(): Promise<void> {
    if (this.closed || this.reconnecting) return;
    this.reconnecting = true;
    for (let attempt = 1, down = false; !this.closed; attempt++) {
      try {
        await this.control();
        if (down) this.watcher.up();
        break;
      } catch (error) {
        if (!down && !this.closed) this.watcher.down(error as Error);
        down = true;
        await this.alarm.sleep(backoff(attempt, 50, 2_000));
      }
    }
    this.reconnecting = false;
  }

  private candidates(): Address[] {
    const seeds = this.settings.options.brokers.map(parseAddress).filter((address) => address !== undefined);
    const known = [...this.nodes.values()];
    return [...shuffle(known), ...shuffle(seeds)];
  }
}

function shuffle<T>(items: T[]): T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
