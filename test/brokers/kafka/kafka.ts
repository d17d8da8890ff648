import { orReason } from '../installed.js';
import { missingPart, type Unavailable } from '../missing-parts.js';
import type { KafkaBroker } from './kafka-broker.js';
import { KafkaCluster } from './kafka-cluster.js';
import { dockerObstacle, startDockerKafka } from './kafka-docker.js';
import { environmentKafka } from './kafka-environment.js';
import { installKafka } from './kafka-installation.js';
import { startJavaKafka } from './kafka-java.js';
import type { KafkaOptions } from './kafka-options.js';

/** A Kafka to produce to and consume from: the one that `KAFKA_BROKERS` names, else one of our own. */
export async function acquireKafka(options: KafkaOptions = {}): Promise<KafkaBroker | Unavailable> {
  return (await environmentKafka()) ?? startOwnKafka(options);
}

/** A Kafka for one test alone, which may kill it: by this machine's Java, else by its Docker engine. */
export async function startOwnKafka(options: KafkaOptions = {}): Promise<KafkaBroker | Unavailable> {
  const installation = await orReason(installKafka);
  if (typeof installation !== 'string') return startJavaKafka(installation, options);
  const obstacle = await dockerObstacle(options);
  if (!obstacle) return startDockerKafka(options);
  return missingPart('kafka', `${installation}; ${obstacle}`);
}

/** Three nodes, each killable by itself; by this machine's Java only. */
export async function startOwnKafkaCluster(
  options: KafkaOptions & { readonly nodes?: number } = {},
): Promise<KafkaCluster | Unavailable> {
  const installation = await orReason(installKafka);
  if (typeof installation === 'string') return missingPart('kafka-cluster', installation);
  return KafkaCluster.start(installation, { nodes: 3, ...options });
}
