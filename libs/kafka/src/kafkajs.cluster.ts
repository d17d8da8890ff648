import { Alarm, backoff } from 'nestjs-eventing';
import { DriverError, type TopicLayout } from './kafka.driver.js';
import { parseAddress } from './kafka.options.js';
import { asDriverError, errorOfCode } from './kafkajs.codes.js';
import { KafkajsConnection, type ConnectionSettings } from './kafkajs.connection.js';
import { firstToOpen, type Opening } from './first.to.open.js';
import { LivenessProbe } from './liveness.probe.js';

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

/** Milliseconds for which one broker is waited for, at most, before the next is tried beside it. */
const HESITATION = 1_000;
const CLOSED = 'the client is closed';
const RELEASED = 'its connections were closed: nobody uses them any more';
/** Kinds of coordinators. */
const OF_GROUP = 0;
const OF_TRANSACTIONS = 1;
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
  private readonly opening = new Set<KafkajsConnection>();
  private readonly lanes = new Set(['control', 'read']);
  private lanesMade = 0;
  private readonly alarm = new Alarm();
  private readonly probe: LivenessProbe;
  /** The one that `control` gave out last. */
  private usual: KafkajsConnection | undefined;
  private controllerId = -1;
  private closed = false;
  private reconnecting = false;

  constructor(
    private readonly settings: ConnectionSettings,
    private readonly watcher: ClusterWatcher,
  ) {
    const { clock, options } = settings;
    const { livenessInterval: interval, livenessTimeout: timeout } = options;
    this.probe = new LivenessProbe(
      { clock, interval, timeout },
      {
        ask: () => void this.usual?.ping().catch(() => undefined),
        replace: () => this.usual?.close(),
        silent: () => watcher.down(new DriverError('NO_ANSWER', `no broker has answered for ${timeout} ms`)),
        answering: () => watcher.up(),
      },
    );
  }

  /**
   * Any broker, for what each of them can answer, and that at once. Kept open and asked for signs of life, and so the first to
   * notice that the cluster is gone.
   */
  async control(): Promise<KafkajsConnection> {
    return this.lease('control', 'control', async () => {
      const connection = await this.openAny();
      connection.onClose = () => void this.reconnect();
      connection.onAnswer = () => this.probe.answered(true);
      this.usual = connection;
      this.probe.answered(true);
      this.probe.start();
      return connection;
    });
  }

  async node(nodeId: number, lane: string): Promise<KafkajsConnection> {
    const address = this.nodes.get(nodeId);
    if (address === undefined) throw new DriverError('BROKER_NOT_AVAILABLE', `broker ${nodeId} is not known`);
    return this.lease(`${nodeId}/${address.host}:${address.port}/${lane}`, lane, () => this.open(address));
  }

  /** Another connection to the same broker. */
  beside({ host, port }: KafkajsConnection, lane: string): Promise<KafkajsConnection> {
    return this.lease(`${host}:${port}/${lane}`, lane, () => this.open({ host, port }));
  }

  async controller(): Promise<KafkajsConnection> {
    if (!this.nodes.has(this.controllerId)) await this.metadata([]);
    // Any broker hands it on, or says who else is the controller by now. Not on the connection for quick answers: this one may take its time.
    const [someone = -1] = this.nodes.keys();
    return this.node(this.nodes.has(this.controllerId) ? this.controllerId : someone, 'control');
  }

  coordinator(group: string, lane: string): Promise<KafkajsConnection> {
    return this.coordinatorOf(group, OF_GROUP, lane);
  }

  transactionCoordinator(id: string, lane: string): Promise<KafkajsConnection> {
    return this.coordinatorOf(id, OF_TRANSACTIONS, lane);
  }

  private async coordinatorOf(key: string, coordinatorType: number, lane: string): Promise<KafkajsConnection> {
    const control = await this.control();
    const answer = await control.call<{
      errorCode: number;
      coordinator: { nodeId: number; host: string; port: number };
    }>('GroupCoordinator', { groupId: key, coordinatorType });
    const what = coordinatorType === OF_GROUP ? 'group' : 'transactional id';
    const error = errorOfCode(answer.errorCode, `the coordinator of ${what} ${key}`);
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

  /** A new lane. It may have branches: `<lane>/commit`. */
  lane(purpose: string): string {
    const lane = `${purpose}-${++this.lanesMade}`;
    this.lanes.add(lane);
    return lane;
  }

  /** Closes the connections of a lane and of its branches, also those on their way, and opens none for it any more. */
  release(lane: string): void {
    this.lanes.delete(lane);
    for (const [key, connection] of this.connections) {
      if (!`${key}/`.includes(`/${lane}/`)) continue;
      this.connections.delete(key);
      void connection.then((open) => open.close()).catch(() => undefined);
    }
  }

  close(): void {
    this.closed = true;
    this.alarm.wake();
    this.probe.stop();
    for (const connection of this.opening) connection.close();
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
      // Without a leader it will be different in a moment: known, but not for long.
      const at = leaders.includes(-1) ? 0 : Date.now();
      if (leaders.length > 0) this.layouts.set(topic, { layout: { topic, leaders }, at });
    }
    if (failure !== undefined) throw failure;
  }

  /** The open connection of that key, or a new one; callers at the same time share it. */
  private async lease(key: string, lane: string, open: () => Promise<KafkajsConnection>): Promise<KafkajsConnection> {
    const present = this.connections.get(key);
    if (present !== undefined) {
      const connection = await present;
      if (connection.usable) return connection;
      if (this.connections.get(key) === present) this.connections.delete(key);
      else return this.lease(key, lane, open);
    }
    if (this.closed) throw new DriverError('CONNECTION_CLOSED', CLOSED);
    const [trunk = lane] = lane.split('/');
    if (!this.lanes.has(trunk)) throw new DriverError('CONNECTION_CLOSED', RELEASED);
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

  private open(address: Address): Promise<KafkajsConnection> {
    return this.begin(address).opened;
  }

  private begin({ host, port }: Address): Opening<KafkajsConnection> {
    const connection = new KafkajsConnection(host, port, this.settings);
    connection.onAnswer = () => this.probe.answered(false);
    this.opening.add(connection);
    // Closing fails what is being opened, which must not begin the next.
    const opening = this.closed ? Promise.reject(new DriverError('CONNECTION_CLOSED', CLOSED)) : connection.open();
    const opened = opening.then(
      () => {
        this.opening.delete(connection);
        // Somebody got through: the control connection need not wait for its next attempt.
        if (this.reconnecting) this.alarm.wake();
        return connection;
      },
      (error: unknown) => {
        this.opening.delete(connection);
        throw asDriverError(error);
      },
    );
    return { opened, cancel: () => connection.close() };
  }

  /** Each has been tried by the time at which the cluster would count as silent. */
  private openAny(): Promise<KafkajsConnection> {
    const candidates = this.candidates();
    const { clock, options } = this.settings;
    const hesitation = Math.min(HESITATION, options.livenessTimeout / 2 / candidates.length);
    return firstToOpen(
      candidates.map((address) => () => this.begin(address)),
      hesitation,
      clock,
    );
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
    const all = [...shuffle(known), ...shuffle(seeds)];
    return [...new Map(all.map((address) => [`${address.host}:${address.port}`, address])).values()];
  }
}

function shuffle<T>(items: T[]): T[] {
  return items
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item);
}
