import { InstallationError } from './broker.errors.js';
import type { KafkaBroker } from './kafka/kafka-broker.js';
import { KafkaCluster } from './kafka/kafka-cluster.js';
import { dockerObstacle, startDockerKafka } from './kafka/kafka-docker.js';
import { environmentKafka } from './kafka/kafka-environment.js';
import { installKafka, type KafkaInstallation } from './kafka/kafka-installation.js';
import { startJavaKafka } from './kafka/kafka-java.js';
import type { KafkaOptions } from './kafka/kafka-options.js';
import { missingPart, type Unavailable } from './missing-parts.js';

export * from './broker.errors.js';
export type { KafkaBroker } from './kafka/kafka-broker.js';
export type { KafkaCluster } from './kafka/kafka-cluster.js';
export type { KafkaNode } from './kafka/kafka-node.js';
export type { KafkaAccess, KafkaOptions, KafkaSecurity } from './kafka/kafka-options.js';
export type { Unavailable } from './missing-parts.js';

/** A Kafka to produce to and consume from: the one that `KAFKA_BROKERS` names, else one of our own. */
export async function acquireKafka(options: KafkaOptions = {}): Promise<KafkaBroker | Unavailable> {
  return (await environmentKafka()) ?? startOwnKafka(options);
}

/** A Kafka for one test alone, which may kill it: by this machine's Java, else by its Docker engine. */
export async function startOwnKafka(options: KafkaOptions = {}): Promise<KafkaBroker | Unavailable> {
  const installation = await installed();
  if (typeof installation !== 'string') return startJavaKafka(installation, options);
  const obstacle = await dockerObstacle(options);
  if (!obstacle) return startDockerKafka(options);
  return missingPart('kafka', `${installation}; ${obstacle}`);
}

/** Three nodes, each killable by itself; by this machine's Java only. */
export async function startOwnKafkaCluster(
  options: KafkaOptions & { readonly nodes?: number } = {},
): Promise<KafkaCluster | Unavailable> {
  const installation = await installed();
  if (typeof installation === 'string') return missingPart('kafka-cluster', installation);
  return KafkaCluster.start(installation, { nodes: 3, ...options });
}

/** The installation, or why there is none. A broker that is installed and does not start is an error, not a lack. */
async function installed(): Promise<KafkaInstallation | string> {
  try {
    return await installKafka();
  } catch (error) {
    if (error instanceof InstallationError) return error.message;
    throw error;
  }
}
