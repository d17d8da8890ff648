import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { untilStopped } from './process-table.js';

export interface OwnedProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly folder: string;
  /** @default our own */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Whom it runs as. @default ourselves */
  readonly account?: { readonly uid: number; readonly gid: number } | undefined;
  /** Standard output and errors are appended here. */
  readonly logFile: string;
  /** `*.pid` directly in a ScratchFolder, which kills the process if this one dies. */
  readonly pidFile: string;
}

/** A process that is ours to kill: always by its id, never by name. */
export class OwnedProcess {
  private failure: string | undefined;

  private constructor(private readonly child: ChildProcess) {}

  static spawn({ command, args, folder, env, account, logFile, pidFile }: OwnedProcessOptions): OwnedProcess {
    const log = openSync(logFile, 'a');
    const child = spawn(command, args, { ...account, cwd: folder, env, stdio: ['ignore', log, log] });
    closeSync(log);
    // At once, since only a process whose id is noted is killed when ours dies.
    if (child.pid) writeFileSync(pidFile, String(child.pid));
    const owned = new OwnedProcess(child);
    // The id may be given to another process from now on.
    child.once('exit', () => rmSync(pidFile, { force: true }));
    child.once('error', (error) => (owned.failure = error.message));
    // A test that forgets to stop its broker must not hang; the scratch folder's keeper ends the process.
    child.unref();
    return owned;
  }

  get pid(): number | undefined {
    return this.child.pid;
  }

  /** How it ended, or undefined while it runs. */
  get ended(): string | undefined {
    if (this.failure) return this.failure;
    if (this.child.signalCode) return `ended by ${this.child.signalCode}`;
    return this.child.exitCode === null ? undefined : `ended with code ${this.child.exitCode}`;
  }

  /** SIGSTOP; resolves when it has taken effect. */
  async suspend(): Promise<void> {
    this.child.kill('SIGSTOP');
    if (this.pid !== undefined) await untilStopped([this.pid]);
  }

  resume(): void {
    this.child.kill('SIGCONT');
  }

  /** SIGKILL; resolves when the process is gone. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    if (!(await this.endsWithin(10_000))) throw new Error(`Process ${this.pid} is still there 10 s after SIGKILL.`);
  }

  /** SIGTERM, and SIGKILL if that does not end it in time. */
  async stop(bound = 15_000): Promise<void> {
    this.child.kill('SIGTERM');
    // A suspended process would not see the signal.
    this.resume();
    if (!(await this.endsWithin(bound))) await this.kill();
  }

  async endsWithin(bound: number): Promise<boolean> {
    if (this.ended) return true;
    // Somebody waits now, and the timer of this signal alone would not keep our own process alive.
    const timeout = AbortSignal.timeout(bound);
    this.child.ref();
    try {
      await once(this.child, 'exit', { signal: timeout });
      return true;
    } catch {
      return this.ended !== undefined;
    } finally {
      this.child.unref();
    }
  }
}
