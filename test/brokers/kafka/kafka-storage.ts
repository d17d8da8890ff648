import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFile, mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { javaTool, type Java } from '../java/java.js';

const run = promisify(execFile);

/** Kafka's form of a UUID. It forbids a leading dash, which its command line tools would take for an option. */
export function kafkaUuid(): string {
  const id = randomBytes(16).toString('base64url');
  return id.startsWith('-') ? kafkaUuid() : id;
}

/**
 * Runs Kafka's own formatting tool once per installation and keeps the file that it makes: the same for every cluster
 * with static voters. A broker's folder is then formatted without starting Java, which would take as long as the broker.
 */
export async function formatStorage(java: Java, installation: string): Promise<void> {
  const data = join(installation, 'format');
  const config = join(installation, 'format.properties');
  const properties = [
    'process.roles=broker,controller',
    'node.id=1',
    'controller.quorum.voters=1@127.0.0.1:9093',
    'listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093',
    'controller.listener.names=CONTROLLER',
    `log.dirs=${data}`,
  ];
  await writeFile(config, properties.join('\n'));
  const tool = ['kafka.tools.StorageTool', 'format', '--cluster-id', kafkaUuid(), '--config', config];
  await run(javaTool(java, 'java'), ['-cp', join(installation, 'lib/*'), ...tool], { timeout: 180_000 });
  await rename(join(data, 'bootstrap.checkpoint'), join(installation, 'bootstrap.checkpoint'));
  await rm(data, { recursive: true });
  await rm(config);
}

/** What the formatting tool would leave in an empty data folder. */
export async function makeStorage(data: string, node: number, cluster: string, checkpoint: string): Promise<void> {
  await mkdir(data, { recursive: true });
  await copyFile(checkpoint, join(data, 'bootstrap.checkpoint'));
  const properties = ['version=1', `cluster.id=${cluster}`, `node.id=${node}`, `directory.id=${kafkaUuid()}`];
  await writeFile(join(data, 'meta.properties'), `${properties.join('\n')}\n`);
}
