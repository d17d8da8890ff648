import { spawn, type ChildProcess } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What tests read of the document that `--json` prints. */
export interface PrintedAccount {
  readonly ok: boolean;
  readonly provider: string;
  readonly tookMs: number;
  readonly chapters: readonly { readonly name: string }[];
  readonly steps: readonly { readonly ok: boolean }[];
}

/**
 * The quickstart as `npm start` would run it, compiled into a folder of its own: whoever builds `dist` at the same time does
 * not get in the way. The folder has the package's own `package.json`, by which the app finds `nestjs-eventing`.
 */
export class BuiltQuickstart {
  readonly #children = new Set<ChildProcess>();

  private constructor(private readonly folder: string) {}

  static async build(): Promise<BuiltQuickstart> {
    await mkdir(join(ROOT, '.cache'), { recursive: true });
    const folder = await mkdtemp(join(ROOT, '.cache', 'quickstart-'));
    await copyFile(join(ROOT, 'package.json'), join(folder, 'package.json'));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const project = join(ROOT, 'apps/quickstart/tsconfig.app.json');
    const built = await ended(spawn(process.execPath, [tsc, '-p', project, '--outDir', join(folder, 'dist')]));
    if (built.code !== 0) throw new Error(`The quickstart does not compile:\n${built.stdout}${built.stderr}`);
    return new BuiltQuickstart(folder);
  }

  start(...flags: readonly string[]): ChildProcess {
    const main = join(this.folder, 'dist/apps/quickstart/src/main.js');
    const child = spawn(process.execPath, [main, ...flags], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  run(...flags: readonly string[]): Promise<Ended> {
    return ended(this.start(...flags));
  }

  /** Ends what still runs and takes the folder away. */
  async remove(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** What a child printed, and how it ended. */
export function ended(child: ChildProcess): Promise<Ended> {
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((done, failed) => {
    child.once('error', failed);
    child.once('close', (code) => done({ code, stdout, stderr }));
  });
}
