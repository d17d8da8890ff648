import { createHash, randomUUID } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { InstallationError } from '../broker.errors.js';
import { withLock } from '../cache.lock.js';
import { cacheFolder, repositoryRoot } from '../repository-root.js';
import { ensureClassArchive } from './class-archive.js';
import { findJava, type Java } from './java.js';
import { formatStorage } from './kafka-storage.js';
import { copyDependencies } from './maven.js';

/** Kafka 4 brokers run on Java 17 and newer. */
const OLDEST_JAVA = 17;

const UNFINISHED = '.unfinished-';

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
  const java = await findJava(OLDEST_JAVA);
  if (typeof java === 'string') throw new InstallationError(java);

  const pom = join(repositoryRoot(), 'test/brokers/kafka/pom.xml');
  const text = readFileSync(pom, 'utf8');
  const version = /<kafka\.version>(.+?)</.exec(text)?.[1];
  if (!version) throw new InstallationError(`${pom} has no <kafka.version>`);
  // With a digest, so that jars resolved for an older pom are not taken for this one's.
  const digest = createHash('sha256').update(text).digest('hex').slice(0, 8);
  const folder = join(cacheFolder(), `kafka-${version}-${digest}`);

  if (!existsSync(folder)) {
    await withLock(`${folder}.lock`, async () => {
      if (!existsSync(folder)) await fill(folder, pom, java);
    });
  }
  return ensureClassArchive(folder, describe(folder, version, java));
}

function describe(folder: string, version: string, java: Java): KafkaInstallation {
  const jars = readdirSync(join(folder, 'lib')).filter((name) => name.endsWith('.jar'));
  // Sorted and listed one by one: a class archive is valid for exactly one class path.
  const classpath = jars.toSorted().map((name) => join(folder, 'lib', name));
  const bootstrapCheckpoint = join(folder, 'bootstrap.checkpoint');
  return { version, java, classpath: classpath.join(':'), bootstrapCheckpoint, classArchive: undefined };
}

/** The folder appears complete or not at all, whatever interrupts this. */
async function fill(folder: string, pom: string, java: Java): Promise<void> {
  await removeUnfinished(folder);
  const unfinished = `${folder}${UNFINISHED}${randomUUID()}`;
  try {
    await mkdir(unfinished, { recursive: true });
    await copyDependencies(pom, join(unfinished, 'lib'));
    await formatStorage(java, unfinished);
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
