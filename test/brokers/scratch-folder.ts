import { spawn, type ChildProcess, type SpawnOptions } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Waits until its input ends, which happens whenever the test process ends, in whatever way; then kills what runs in the
 * folder and removes it. It ignores the signals of a Ctrl-C in the terminal, so that it outlives the one it watches.
 */
const KEEPER = `
  trap "" HUP INT TERM
  read -r _
  for file in "$1"/*.pid; do [ -f "$file" ] && kill -9 "$(cat "$file")"; done
  for file in "$1"/*.container; do [ -f "$file" ] && docker rm -f "$(cat "$file")"; done
  rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`;

/**
 * A temporary folder that never outlives the test process, and neither do the processes whose ids lie in its `*.pid`
 * files: a SIGKILLed test runner leaves neither brokers nor files behind.
 */
export class ScratchFolder {
  private readonly onOrphaned = () => this.keeper.stdin?.destroy();

  private constructor(
    readonly path: string,
    private readonly keeper: ChildProcess,
  ) {
    // A test worker whose runner was killed may go on with its tests for a while: it does not keep its brokers.
    if (process.connected) process.once('disconnect', this.onOrphaned);
  }

  static async create(name: string): Promise<ScratchFolder> {
    if (process.send && !process.connected) throw new Error('The test runner is gone: nothing is started any more.');
    const path = await mkdtemp(join(tmpdir(), `nestjs-eventing-${name}-`));
    // Detached: a signal to the whole process group of the tests must not take the keeper with it.
    const options: SpawnOptions = { cwd: '/', detached: true, stdio: ['pipe', 'ignore', 'ignore'] };
    const keeper = spawn('/bin/sh', ['-c', KEEPER, 'keeper', path], options);
    keeper.on('error', (error) => console.warn(`${path} will have to be removed by hand: ${error.message}`));
    keeper.unref();
    // An open pipe must not keep a finished test process alive.
    if (keeper.stdin instanceof Socket) keeper.stdin.unref();
    return new ScratchFolder(path, keeper);
  }

  /** To be called when nothing runs in the folder any more. */
  async remove(): Promise<void> {
    process.off('disconnect', this.onOrphaned);
    await rm(this.path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
    this.keeper.kill('SIGKILL');
  }
}
