import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { copyFile, cp, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withLock } from '../brokers/cache.lock.js';
import { repositoryRoot } from '../brokers/repository-root.js';
import { node } from '../packaging/command.js';
import { plant, type Planting } from './planting.js';

const SOURCES = ['libs', 'apps', 'test', 'package.json', 'tsconfig.json'];

/** Milliseconds for which nobody must have used what is taken away. */
const DAY = 86_400_000;

/**
 * The package, and all programs that tests run as processes, compiled into a folder of their own: whoever builds `dist` at the same time
 * does not get in the way. The folder has the package's own `package.json`, by which a program in it finds `nestjs-eventing` as its users
 * do.
 */
export class Programs {
  private constructor(
    readonly folder: string,
    private readonly isShared: boolean,
  ) {}

  /**
   * Of the sources as they are now: compiled once and used by all.
   * @param fault put into a copy of one's own; the sources are as they were
   * @throws Error with what the compiler said
   */
  static async compiled(fault?: Planting): Promise<Programs> {
    const cache = join(repositoryRoot(), '.cache');
    const folder = join(cache, `programs-${await stateOfSources()}`);
    await withLock(join(cache, 'programs.lock'), async () => {
      if (!existsSync(folder)) await compile(cache, folder);
      const now = new Date();
      await utimes(folder, now, now);
    });
    if (fault === undefined) return new Programs(folder, true);
    const own = await mkdtemp(join(cache, 'planted-'));
    for (const part of ['package.json', 'dist']) await cp(join(folder, part), join(own, part), { recursive: true });
    const programs = new Programs(own, false);
    const file = programs.file(fault.file);
    await writeFile(file, plant(fault, await readFile(file, 'utf8')));
    return programs;
  }

  /** @param source below the repository, without its ending */
  file(source: string): string {
    return join(this.folder, 'dist', `${source}.js`);
  }

  async close(): Promise<void> {
    if (!this.isShared) await rm(this.folder, { recursive: true, force: true });
  }
}

async function compile(cache: string, folder: string): Promise<void> {
  await removeOld(cache);
  const root = repositoryRoot();
  const unfinished = await mkdtemp(join(cache, 'unfinished-'));
  const args = ['-p', join(root, 'test/programs/tsconfig.json'), '--outDir', join(unfinished, 'dist')];
  try {
    await copyFile(join(root, 'package.json'), join(unfinished, 'package.json'));
    await node([join(root, 'node_modules/typescript/bin/tsc'), ...args], { cwd: root });
    await rename(unfinished, folder);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    throw error;
  }
}

async function removeOld(cache: string): Promise<void> {
  for (const name of await readdir(cache)) {
    if (!/^(?:programs|planted|unfinished)-/.test(name)) continue;
    const folder = join(cache, name);
    // Whoever has a copy of its own may be taking it away.
    const used = await stat(folder).catch(() => undefined);
    if (used !== undefined && used.mtimeMs < Date.now() - DAY) await rm(folder, { recursive: true, force: true });
  }
}

/** By names, sizes and times: reading them all takes longer than most tests. */
async function stateOfSources(): Promise<string> {
  const root = repositoryRoot();
  const hash = createHash('sha256');
  const look = async (path: string): Promise<void> => {
    const file = await stat(join(root, path));
    if (file.isDirectory()) for (const name of (await readdir(join(root, path))).sort()) await look(join(path, name));
    else if (/\.(?:ts|json)$/.test(path)) hash.update(`${path} ${file.size} ${file.mtimeMs}\n`);
  };
  for (const source of SOURCES) await look(source);
  return hash.digest('hex').slice(0, 16);
}
