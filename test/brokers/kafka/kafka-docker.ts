import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { BrokerStartError } from '../broker.errors.js';
import { freePorts } from '../free-ports.js';
import { repositoryRoot } from '../repository-root.js';
import { ScratchFolder } from '../scratch-folder.js';
import type { KafkaBroker } from './kafka-broker.js';
import type { KafkaOptions } from './kafka-options.js';
import { liveBrokers } from './kafka-probe.js';
import { serverProperties } from './kafka-properties.js';

/*
 * The last resort, for machines with a Docker engine and no Java. Our own CI has Java and no engine, so this file has
 * been read and compiled but not run there.
 */

const docker = (...args: string[]) => promisify(execFile)('docker', args);

/** Why no broker can be run by Docker here, or undefined if one can. */
export async function dockerObstacle(options: KafkaOptions): Promise<string | undefined> {
  if ((options.security ?? 'plaintext') !== 'plaintext') return 'the Docker image is run without TLS and SASL';
  return docker('info').then(
    () => undefined,
    () => 'no Docker engine answers',
  );
}

/** The image that users get from compose.yaml. */
export function composeImage(): string {
  const compose = readFileSync(join(repositoryRoot(), 'compose.yaml'), 'utf8');
  const image = /^\s+image: (apache\/kafka:\S+)$/m.exec(compose)?.[1];
  if (!image) throw new Error('compose.yaml has no image apache/kafka:<version>');
  return image;
}

export async function startDockerKafka(options: KafkaOptions): Promise<KafkaBroker> {
  const [free = 0] = await freePorts(1);
  const port = options.port ?? free;
  const folder = await ScratchFolder.create('kafka');
  const name = `nestjs-eventing-kafka-${port}`;
  // The folder's keeper removes the container if the tests die.
  await writeFile(join(folder.path, 'kafka.container'), name);

  const create = async () => {
    const publish = ['-p', `127.0.0.1:${port}:${port}`];
    await docker('run', '-d', '--name', name, ...publish, ...environment(port, options), composeImage());
    await untilServing(name, port);
  };
  const remove = () => docker('rm', '-f', name);
  const broker: KafkaBroker = {
    available: true,
    source: 'docker',
    owned: true,
    access: { brokers: [`127.0.0.1:${port}`] },
    kill: async () => void (await docker('kill', name)),
    stop: async () => void (await docker('stop', name)),
    restart: async () => {
      await docker('restart', name);
      await untilServing(name, port);
    },
    wipe: async () => {
      await remove();
      await create();
    },
    suspend: async () => void (await docker('pause', name)),
    resume: async () => void (await docker('unpause', name)),
    close: async () => {
      await remove();
      await rm(join(folder.path, 'kafka.container'), { force: true });
      await folder.remove();
    },
  };
  await create().catch(async (error: unknown) => {
    await broker.close();
    throw error;
  });
  return broker;
}

/** The image turns `KAFKA_A_B` into the property `a.b`. */
function environment(port: number, options: KafkaOptions): string[] {
  const ports = [{ client: port, internal: 19_092, controller: 19_093 }];
  const security = { protocol: 'PLAINTEXT', properties: {}, access: {} } as const;
  const properties = serverProperties({ id: 1, ports, security, extra: options.properties ?? {} }, '/tmp/kafka-logs');
  // Docker forwards the clients' port to the container's own address, not to its loopback.
  const reachable = properties.replace(/^listeners=CLIENT:\/\/127\.0\.0\.1/m, 'listeners=CLIENT://0.0.0.0');
  return reachable
    .split('\n')
    .filter(Boolean)
    .flatMap((line) => {
      const equals = line.indexOf('=');
      const variable = `KAFKA_${line.slice(0, equals).toUpperCase().replaceAll('.', '_')}`;
      return ['-e', `${variable}=${line.slice(equals + 1)}`];
    });
}

async function untilServing(name: string, port: number): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (Date.now() < deadline) {
    const live = await liveBrokers('127.0.0.1', port).catch(() => []);
    if (live.length > 0) return;
    await sleep(100);
  }
  const { stdout } = await docker('logs', '--tail', '40', name);
  throw new BrokerStartError('The Kafka container', 'not ready after 120 s', stdout);
}
