import { join } from 'node:path';
import { ensureClassArchive } from '../java/class-archive.js';
import { requireJava, type Java } from '../java/java.js';
import { ensureJars } from '../java/jar-folder.js';
import { KafkaCluster } from './kafka-cluster.js';
import { formatStorage } from './kafka-storage.js';

/** Kafka 4 brokers run on Java 17 and newer. */
const OLDEST_JAVA = 17;

/** What is needed to run a broker as a Java process. */
export interface KafkaInstallation {
  readonly version: string;
  readonly java: Java;
  readonly classpath: string;
  /** The first records of a formatted metadata log: the features that this version turns on. */
  readonly bootstrapCheckpoint: string;
  /** Classes in the form in which Java can map them: halves the time of a start. */
  readonly classArchive: string | undefined;
}

/** Resolves the jars where the cache does not have them. Throws an InstallationError if this machine cannot. */
export async function installKafka(): Promise<KafkaInstallation> {
  const java = await requireJava(OLDEST_JAVA);
  const { path, version, classpath } = await ensureJars('kafka', (folder) => formatStorage(java, folder));
  const bootstrapCheckpoint = join(path, 'bootstrap.checkpoint');
  const installation = { version, java, classpath, bootstrapCheckpoint, classArchive: undefined };
  const classArchive = await ensureClassArchive(path, java, async (jvmOption) => {
    const cluster = await KafkaCluster.start(installation, { jvm: [jvmOption] });
    try {
      await cluster.node(0).stop(60_000);
    } finally {
      await cluster.close();
    }
  });
  return { ...installation, classArchive };
}
