import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { InstallationError } from '../broker.errors.js';
import { withLock } from '../cache.lock.js';
import { cacheFolder, repositoryRoot } from '../repository-root.js';
import { copyDependencies } from './maven.js';

const UNFINISHED = '.unfinished-';

/** The jars of one broker, kept between runs. */
export interface JarFolder {
  readonly path: string;
  readonly version: string;
  readonly classpath: string;
}

/**
 * Resolves the jars of `test/brokers/<broker>/pom.xml` where the cache does not have them. Throws an InstallationError if
 * this machine cannot.
 * @param complete adds to the folder, next to `lib`, what else is to be kept
 */
export async function ensureJars(
  broker: string,
  complete: (folder: string) => Promise<void> = async () => {},
): Promise<JarFolder> {
  const pom = pomOf(broker);
  const version = jarVersion(broker);
  // With a digest, so that jars resolved for an older pom are not taken for this one's.
  const digest = createHash('sha256').update(readFileSync(pom)).digest('hex').slice(0, 8);
  const path = join(cacheFolder(), `${broker}-${version}-${digest}`);
  if (!existsSync(path)) {
    await withLock(`${path}.lock`, async () => {
      if (!existsSync(path)) await fill(path, pom, complete);
    });
  }
  const jars = readdirSync(join(path, 'lib')).filter((name) => name.endsWith('.jar'));
  // Sorted and listed one by one: a class archive is valid for exactly one class path.
  const classpath = jars.toSorted().map((name) => join(path, 'lib', name));
  return { path, version, classpath: classpath.join(':') };
}

/** The version that the broker's pom pins. */
export function jarVersion(broker: string): string {
  const pom = pomOf(broker);
  const version = new RegExp(`<${broker}\\.version>(.+?)<`).exec(readFileSync(pom, 'utf8'))?.[1];
  if (!version) throw new InstallationError(`${pom} has no <${broker}.version>`);
  return version;
}

function pomOf(broker: string): string {
  return join(repositoryRoot(), 'test/brokers', broker, 'pom.xml');
}

/** The folder appears complete or not at all, whatever interrupts this. */
async function fill(folder: string, pom: string, complete: (folder: string) => Promise<void>): Promise<void> {
  await removeUnfinished(folder);
  const unfinished = `${folder}${UNFINISHED}${randomUUID()}`;
  try {
    await mkdir(unfinished, { recursive: true });
    await copyDependencies(pom, join(unfinished, 'lib'));
    await complete(unfinished);
    // Fails if another process was first; its folder is as good.
    await rename(unfinished, folder).catch((error: unknown) => {
      if (!existsSync(folder)) throw error;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
}

/** What a killed process left behind; nobody else fills the folder while we hold the lock. */
async function removeUnfinished(folder: string): Promise<void> {
  const leftovers = readdirSync(dirname(folder)).filter((name) => name.startsWith(basename(folder) + UNFINISHED));
  for (const name of leftovers) await rm(join(dirname(folder), name), { recursive: true, force: true });
}
