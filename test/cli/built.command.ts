import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { ended, type Ended } from '../quickstart/built.quickstart.js';

const ROOT = resolve(import.meta.dirname, '../..');

/**
 * `eventing` as `npx` would run it, compiled into a folder of its own: whoever builds `dist` at the same time does not get in the
 * way. The folder has the package's own `package.json`, by which a configuration in it finds `nestjs-eventing`.
 */
export class BuiltCommand {
  readonly #children = new Set<ChildProcess>();

  private constructor(readonly folder: string) {}

  static async build(): Promise<BuiltCommand> {
    await mkdir(join(ROOT, '.cache'), { recursive: true });
    const folder = await mkdtemp(join(ROOT, '.cache', 'cli-'));
    await copyFile(join(ROOT, 'package.json'), join(folder, 'package.json'));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const project = join(import.meta.dirname, 'tsconfig.json');
    const built = await ended(spawn(process.execPath, [tsc, '-p', project, '--outDir', join(folder, 'dist')]));
    if (built.code === 0) return new BuiltCommand(folder);
    await rm(folder, { recursive: true, force: true });
    throw new Error(`The command does not compile:\n${built.stdout}${built.stderr}`);
  }

  /** @param cwd the folder that it is run in */
  run(cwd: string, ...args: readonly string[]): Promise<Ended> {
    const main = join(this.folder, 'dist/libs/cli/src/main.js');
    const child = spawn(process.execPath, [main, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return ended(child);
  }

  /** Ends what still runs and takes the folder away. */
  async remove(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}
