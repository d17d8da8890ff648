import { copyFile, cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '../brokers/repository-root.js';
import { node } from '../packaging/command.js';
import { builtOnce, cache } from './built.once.js';
import { plant, type Planting } from './planting.js';

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
    const sources = ['libs', 'apps', 'test', 'package.json', 'tsconfig.json'];
    const folder = await builtOnce({ name: 'programs', sources, make: compile });
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

async function compile(folder: string): Promise<void> {
  const root = repositoryRoot();
  await copyFile(join(root, 'package.json'), join(folder, 'package.json'));
  const args = ['-p', join(root, 'test/programs/tsconfig.json'), '--outDir', join(folder, 'dist')];
  await node([join(root, 'node_modules/typescript/bin/tsc'), ...args], { cwd: root });
}
