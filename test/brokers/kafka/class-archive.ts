import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '../cache.lock.js';
import { KafkaCluster } from './kafka-cluster.js';
import type { KafkaInstallation } from './kafka-installation.js';

/**
 * Keeps the classes of one throw-away broker's run as an archive for this version of Java (application class data
 * sharing). It only makes starts quicker, so a machine that cannot make one goes on without it.
 */
export async function ensureClassArchive(folder: string, installation: KafkaInstallation): Promise<KafkaInstallation> {
  const archive = join(folder, `classes-${installation.java.version}.jsa`);
  if (!existsSync(archive)) {
    await withLock(`${archive}.lock`, async () => {
      if (!existsSync(archive)) await record(archive, installation);
    });
  }
  return existsSync(archive) ? { ...installation, classArchive: archive } : installation;
}

async function record(archive: string, installation: KafkaInstallation): Promise<void> {
  // Java crashes on a half-written archive: it must appear complete.
  const unfinished = `${archive}.${process.pid}`;
  const cluster = await KafkaCluster.start(installation, { jvm: [`-XX:ArchiveClassesAtExit=${unfinished}`] });
  try {
    // The archive is written when the broker ends by itself.
    await cluster.node(0).stop(60_000);
    await rename(unfinished, archive);
  } catch (error) {
    console.warn(`Kafka will start more slowly: no class archive could be made (${String(error)}).`);
  } finally {
    await rm(unfinished, { force: true });
    await cluster.close();
  }
}
