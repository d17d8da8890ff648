import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Broker } from './broker.js';
import { BrokerStartError } from './broker.errors.js';
import { repositoryRoot } from './repository-root.js';
import type { ScratchFolder } from './scratch-folder.js';

/*
 * The last resort, for machines with a Docker engine and without the broker. Our own CI has no engine, so what is here and
 * in the files named *-docker.ts has been read and compiled but not run there.
 */

const START_TIMEOUT = 120_000;

export const docker = (...args: string[]) =>
  promisify(execFile)('docker', args, { timeout: START_TIMEOUT, killSignal: 'SIGKILL' });

/** Why no container can be run here, or undefined if one can. */
export async function engineObstacle(): Promise<string | undefined> {
  return docker('info').then(
    () => undefined,
    () => 'no Docker engine answers',
  );
}

/** The image that users get from compose.yaml. */
export function composeImage(repository: string): string {
  const compose = readFileSync(join(repositoryRoot(), 'compose.yaml'), 'utf8');
  const images = [...compose.matchAll(/^\s+image: (\S+)$/gm)].map(([, image]) => image);
  const image = images.find((each) => each?.startsWith(`${repository}:`));
  if (!image) throw new Error(`compose.yaml has no image ${repository}:<version>`);
  return image;
}

export interface ContainerOptions {
  readonly name: string;
  /** Its keeper removes the container if the tests die. */
  readonly folder: ScratchFolder;
  /** For `docker run`, before the image. */
  readonly options: readonly string[];
  readonly image: string;
  /** What it runs instead of the image's own command. @default the image's */
  readonly command?: readonly string[];
  /** Rejects as long as the broker does not serve. */
  readonly probe: () => Promise<unknown>;
}

/** Starts a container and gives what tests may do to it. */
export async function startContainer(container: ContainerOptions): Promise<Broker> {
  const { name, folder, options, image, command = [] } = container;
  const note = join(folder.path, 'broker.container');
  await writeFile(note, name);
  const create = async () => {
    await docker('run', '-d', '--name', name, ...options, image, ...command);
    await untilServing(container);
  };
  const remove = () => docker('rm', '-f', name);
  const broker: Broker = {
    available: true,
    source: 'docker',
    owned: true,
    kill: async () => void (await docker('kill', name)),
    stop: async () => void (await docker('stop', name)),
    restart: async () => {
      await docker('restart', name);
      await untilServing(container);
    },
    wipe: async () => {
      await remove();
      await create();
    },
    suspend: async () => void (await docker('pause', name)),
    resume: async () => void (await docker('unpause', name)),
    close: async () => {
      await remove();
      await rm(note, { force: true });
      await folder.remove();
    },
  };
  await create().catch(async (error: unknown) => {
    await broker.close();
    throw error;
  });
  return broker;
}

async function untilServing({ name, probe }: ContainerOptions): Promise<void> {
  const deadline = Date.now() + START_TIMEOUT;
  while (Date.now() < deadline) {
    const serves = await probe().then(
      () => true,
      () => false,
    );
    if (serves) return;
    await sleep(100);
  }
  const { stdout } = await docker('logs', '--tail', '40', name);
  throw new BrokerStartError(`The container ${name}`, `not ready after ${START_TIMEOUT / 1000} s`, stdout);
}
