import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { repositoryRoot } from '../brokers/repository-root.js';
import { plant, type Planting } from './planted/planting.js';

/**
 * The worker programs, compiled into a folder of their own: whoever builds `dist` at the same time does not get in the way. The
 * folder has the package's own `package.json`, by which a worker finds `nestjs-eventing` as its users do.
 */
export class BuiltWorkers {
  private constructor(
    private readonly folder: string,
    private readonly programs: string,
  ) {}

  /**
   * @param programs the folder of the workers and their `tsconfig.json`, below the repository
   * @param fault put into what was compiled; the sources are as they were
   */
  static async build(programs: string, fault?: Planting): Promise<BuiltWorkers> {
    const root = repositoryRoot();
    await mkdir(join(root, '.cache'), { recursive: true });
    const folder = await mkdtemp(join(root, '.cache', 'workers-'));
    await copyFile(join(root, 'package.json'), join(folder, 'package.json'));
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const project = join(root, programs, 'tsconfig.json');
    const compiler = spawn(process.execPath, [tsc, '-p', project, '--outDir', join(folder, 'dist')]);
    let said = '';
    for (const stream of [compiler.stdout, compiler.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (said += text));
    }
    const [code] = (await once(compiler, 'close')) as [number | null];
    if (code !== 0) {
      await rm(folder, { recursive: true, force: true });
      throw new Error(`The workers do not compile:\n${said}`);
    }
    if (fault !== undefined) {
      const program = join(folder, 'dist', `${fault.file}.js`);
      await writeFile(program, plant(fault, await readFile(program, 'utf8')));
    }
    return new BuiltWorkers(folder, programs);
  }

  /** The program of a `<role>.worker.ts`. */
  program(role: string): string {
    return join(this.folder, 'dist', this.programs, `${role}.worker.js`);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
