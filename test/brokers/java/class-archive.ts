import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '../cache.lock.js';
import type { Java } from './java.js';

/**
 * Keeps the classes of one throw-away broker's run as an archive for this version of Java (application class data
 * sharing). It only makes starts quicker, so a machine that cannot make one goes on without it.
 * @param recordOneLife starts a broker with the given option for Java and lets it end by itself: only then is it written
 */
export async function ensureClassArchive(
  folder: string,
  java: Java,
  recordOneLife: (jvmOption: string) => Promise<void>,
): Promise<string | undefined> {
  const archive = join(folder, `classes-${java.version}.jsa`);
  if (!existsSync(archive)) {
    await withLock(`${archive}.lock`, async () => {
      if (!existsSync(archive)) await record(archive, recordOneLife);
    });
  }
  return existsSync(archive) ? archive : undefined;
}

async function record(archive: string, recordOneLife: (jvmOption: string) => Promise<void>): Promise<void> {
  // Java crashes on a half-written archive: it must appear complete.
  const unfinished = `${archive}.${process.pid}`;
  try {
    await recordOneLife(`-XX:ArchiveClassesAtExit=${unfinished}`);
    await rename(unfinished, archive);
  } catch (error) {
    console.warn(`The broker will start more slowly: no class archive could be made (${String(error)}).`);
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** Options for a Java process that may map an archive. */
export function classArchiveOptions(archive: string | undefined): string[] {
  return archive ? [`-XX:SharedArchiveFile=${archive}`, '-Xlog:cds*=off'] : [];
}
