import type { KafkaBroker } from './kafka-broker.js';
import { KafkaCluster } from './kafka-cluster.js';
import type { KafkaInstallation } from './kafka-installation.js';
import type { KafkaOptions } from './kafka-options.js';

/** A broker as a Java process of this machine. */
export async function startJavaKafka(installation: KafkaInstallation, options: KafkaOptions): Promise<KafkaBroker> {
  const cluster = await KafkaCluster.start(installation, options);
  const node = cluster.node(0);
  return {
    available: true,
    source: 'machine',
    owned: true,
    get access() {
      return cluster.access;
    },
    kill: () => node.kill(),
    stop: () => node.stop(),
    restart: () => node.restart(),
    wipe: () => cluster.wipe(),
    suspend: () => node.suspend(),
    resume: async () => node.resume(),
    close: () => cluster.close(),
  };
}
