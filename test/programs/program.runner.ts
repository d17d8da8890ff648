import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Programs } from './programs.js';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs one of the programs for a test, and sees to it that nothing is left of it. */
export class ProgramRunner {
  readonly #children = new Set<ChildProcess>();

  private constructor(
    private readonly file: string,
    /** The test's own. What lies in it finds `nestjs-eventing` as the program does. */
    readonly folder: string,
  ) {}

  /** @param source the program's, below the repository, without its ending */
  static async open(source: string): Promise<ProgramRunner> {
    const programs = await Programs.compiled();
    return new ProgramRunner(programs.file(source), await mkdtemp(join(programs.folder, 'run-')));
  }

  /** @param cwd the folder that it is run in. @default that of this process */
  start(args: readonly string[], cwd?: string): ChildProcess {
    const child = spawn(process.execPath, [this.file, ...args], { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    this.#children.add(child);
    child.once('close', () => this.#children.delete(child));
    return child;
  }

  run(args: readonly string[], cwd?: string): Promise<Ended> {
    return ended(this.start(args, cwd));
  }

  /** Ends what still runs and takes the folder away. */
  async close(): Promise<void> {
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
