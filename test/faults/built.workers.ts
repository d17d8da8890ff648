import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { plant, type PlantedFault } from './planted/planted.faults.js';

const ROOT = resolve(import.meta.dirname, '../..');

export type Role = 'listening' | 'sending';

/**
 * The worker programs, compiled into a folder of their own: whoever builds `dist` at the same time does not get in the way. The
 * folder has the package's own `package.json`, by which a worker finds `nestjs-eventing` as its users do.
 */
export class BuiltWorkers {
  private constructor(private readonly folder: string) {}

  /** With a fault in what was compiled, the sources are as they were. */
  static async build(fault?: PlantedFault): Promise<BuiltWorkers> {
    await mkdir(join(ROOT, '.cache'), { recursive: true });
    const folder = await mkdtemp(join(ROOT, '.cache', 'faults-'));
    await copyFile(join(ROOT, 'package.json'), join(folder, 'package.json'));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const project = join(import.meta.dirname, 'workers/tsconfig.json');
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
    return new BuiltWorkers(folder);
  }

  program(role: Role): string {
    return join(this.folder, `dist/test/faults/workers/${role}.worker.js`);
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
