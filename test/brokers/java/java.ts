import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, realpath } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { InstallationError } from '../broker.errors.js';

const run = promisify(execFile);

export interface Java {
  readonly home: string;
  readonly version: string;
}

/** The Java of `JAVA_HOME`, else of the path. Throws an InstallationError if there is none that is new enough. */
export async function requireJava(oldest: number): Promise<Java> {
  const home = process.env['JAVA_HOME'];
  const folders = [...(home ? [join(home, 'bin')] : []), ...(process.env['PATH'] ?? '').split(delimiter)];
  const tooOld = new Set<string>();
  for (const command of folders.map((folder) => join(folder, 'java')).filter((path) => existsSync(path))) {
    const java = (await readRelease(command)) ?? (await ask(command));
    if (!java) continue;
    if (Number.parseInt(java.version) >= oldest) return java;
    tooOld.add(java.version);
  }
  const found = [...tooOld].join(' and ') || 'none';
  throw new InstallationError(`Java ${oldest} or newer is needed, this machine has ${found}`);
}

/** @param tool for instance `java` or `keytool` */
export function javaTool(java: Java, tool: string): string {
  return join(java.home, 'bin', tool);
}

/** From the file that every Java has beside its programs: starting Java to ask would take a fifth of a second. */
async function readRelease(command: string): Promise<Java | undefined> {
  const home = dirname(dirname(await realpath(command)));
  const release = await readFile(join(home, 'release'), 'utf8').catch(() => '');
  const version = /^JAVA_VERSION="(.+)"$/m.exec(release)?.[1];
  return version ? { home, version } : undefined;
}

/** For launchers that lie outside their Java's folder. */
async function ask(command: string): Promise<Java | undefined> {
  try {
    const { stderr } = await run(command, ['-XshowSettings:properties', '-version'], { timeout: 180_000 });
    const home = /java\.home = (.+)/.exec(stderr)?.[1]?.trim();
    const version = /java\.version = (.+)/.exec(stderr)?.[1]?.trim();
    return home && version ? { home, version } : undefined;
  } catch {
    return undefined;
  }
}
