import type { ListenerSecurity } from './kafka-security.js';

export interface KafkaPorts {
  /** The listener that clients are told of. */
  readonly client: number;
  /** Between brokers, and for the harness's own questions: always without security. */
  readonly internal: number;
  readonly controller: number;
}

export interface NodePlan {
  readonly id: number;
  /** Of all nodes, in the order of their ids. */
  readonly ports: readonly KafkaPorts[];
  readonly security: ListenerSecurity;
  readonly extra: Readonly<Record<string, string>>;
}

/** The server.properties of a node which is both broker and controller. */
export function serverProperties({ id, ports, security, extra }: NodePlan, data: string): string {
  const own = ports[id - 1];
  if (!own) throw new Error(`Node ${id} of ${ports.length} has no ports`);
  const clients = `CLIENT://127.0.0.1:${own.client},INTERNAL://127.0.0.1:${own.internal}`;
  const copies = String(Math.min(3, ports.length));
  const inSync = ports.length >= 3 ? '2' : '1';
  // A killed broker's place is taken, and its next life let in, when its session has ended. A single node has nobody to
  // take its place, so that a short session only makes it come back sooner.
  const session = ports.length === 1 ? 1500 : 3000;
  const properties = {
    'process.roles': 'broker,controller',
    'node.id': String(id),
    'controller.quorum.voters': ports.map((port, i) => `${i + 1}@127.0.0.1:${port.controller}`).join(),
    listeners: `${clients},CONTROLLER://127.0.0.1:${own.controller}`,
    'advertised.listeners': clients,
    'listener.security.protocol.map': `CLIENT:${security.protocol},INTERNAL:PLAINTEXT,CONTROLLER:PLAINTEXT`,
    'inter.broker.listener.name': 'INTERNAL',
    'controller.listener.names': 'CONTROLLER',
    'log.dirs': data,
    'default.replication.factor': copies,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': copies,
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': inSync,
    'share.coordinator.state.topic.replication.factor': copies,
    'share.coordinator.state.topic.min.isr': inSync,
    'broker.session.timeout.ms': String(session),
    'broker.heartbeat.interval.ms': String(session / 6),
    ...FOR_TESTS,
    ...security.properties,
    ...extra,
  };
  // A backslash starts an escape in this format.
  const lines = Object.entries(properties).map(([name, value]) => `${name}=${value.replaceAll('\\', '\\\\')}`);
  return `${lines.join('\n')}\n`;
}

const FOR_TESTS = {
  // A topic that a test forgot to create is a mistake to be seen.
  'auto.create.topics.enable': 'false',
  // Fewer partitions of Kafka's own topics are created sooner, by whoever is the first to use them.
  'offsets.topic.num.partitions': '4',
  'transaction.state.log.num.partitions': '4',
  'share.coordinator.state.topic.num.partitions': '1',
  'group.initial.rebalance.delay.ms': '0',
  // Short sessions, so that a test need not wait long until a consumer counts as dead.
  'group.min.session.timeout.ms': '500',
  'group.consumer.min.session.timeout.ms': '500',
  'group.consumer.min.heartbeat.interval.ms': '100',
  'transaction.abort.timed.out.transaction.cleanup.interval.ms': '500',
  // Nothing disappears by age; compaction and deletion act soon.
  'log.retention.ms': '-1',
  'log.segment.delete.delay.ms': '1000',
  'log.cleaner.backoff.ms': '1000',
  // The defaults would take a third of the small heap.
  'log.cleaner.dedupe.buffer.size': '4194304',
  'log.cleaner.io.buffer.size': '131072',
  'num.network.threads': '2',
  'num.io.threads': '4',
  'background.threads': '2',
};
