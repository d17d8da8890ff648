import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '../brokers/cache.lock.js';
import { repositoryRoot } from '../brokers/repository-root.js';

/** Milliseconds for which nobody must have used what is taken away. */
const DAY = 86_400_000;

/** Where all of it lies, below the repository, so that what the package needs is found from there. */
export const cache = join(repositoryRoot(), '.cache');

/** What can be made; in `.cache` lie also things that are kept. */
const NAMES = ['programs', 'package'] as const;

export interface Build {
  readonly name: (typeof NAMES)[number];
  /** Files and folders that it is made of, below the repository. */
  readonly sources: readonly string[];
  /** Makes it in an empty folder. Where it throws, the next who wants it tries again. */
  make(folder: string): Promise<void>;
}

/**
 * Made of the sources as they are now, once for all who want it, in whatever process. What nobody wanted for a day is taken away.
 *
 * @returns the folder
 */
export async function builtOnce({ name, sources, make }: Build): Promise<string> {
  const folder = join(cache, `${name}-${await stateOf(sources)}`);
  await withLock(join(cache, `${name}.lock`), async () => {
    if (!existsSync(folder)) {
      await removeOld();
      const unfinished = await mkdtemp(join(cache, 'unfinished-'));
      try {
        await make(unfinished);
        await rename(unfinished, folder);
      } catch (error) {
        await rm(unfinished, { recursive: true, force: true });
        throw error;
      }
    }
    const now = new Date();
    await utimes(folder, now, now);
  });
  return folder;
}

async function removeOld(): Promise<void> {
  const ours = [...NAMES, 'planted', 'unfinished'];
  for (const name of await readdir(cache)) {
    if (!ours.some((start) => name.startsWith(`${start}-`))) continue;
    const folder = join(cache, name);
    // Whoever has a copy of its own may be taking it away.
    const used = await stat(folder).catch(() => undefined);
    if (used !== undefined && used.mtimeMs < Date.now() - DAY) await rm(folder, { recursive: true, force: true });
  }
}

/** By names, sizes and times: reading them all takes longer than most tests. */
async function stateOf(sources: readonly string[]): Promise<string> {
  const root = repositoryRoot();
  const hash = createHash('sha256');
  const look = async (path: string): Promise<void> => {
    const file = await stat(join(root, path));
    if (file.isDirectory()) for (const name of (await readdir(join(root, path))).sort()) await look(join(path, name));
    else hash.update(`${path} ${file.size} ${file.mtimeMs}\n`);
  };
  for (const source of sources) await look(source);
  return hash.digest('hex').slice(0, 16);
}
