import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { OwnedProcess } from '../brokers/owned-process.js';
import type { HistoryLine, WorkerSetup } from './workers/worker.setup.js';

const ROOT = resolve(import.meta.dirname, '../..');
const START_TIMEOUT = 90_000;

/** The listening program, compiled into a folder of its own, in which `nestjs-eventing` is what its users get. */
export class ListeningProgram {
  private constructor(
    private readonly folder: string,
    readonly file: string,
  ) {}

  static async build(): Promise<ListeningProgram> {
    await mkdir(join(ROOT, '.cache'), { recursive: true });
    const folder = await mkdtemp(join(ROOT, '.cache', 'takeover-'));
    await copyFile(join(ROOT, 'package.json'), join(folder, 'package.json'));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const project = join(import.meta.dirname, 'workers/tsconfig.json');
    const compiler = spawn(process.execPath, [tsc, '-p', project, '--outDir', join(folder, 'dist')]);
    let said = '';
    compiler.stdout.setEncoding('utf8').on('data', (text: string) => (said += text));
    const [code] = (await once(compiler, 'close')) as [number | null];
    if (code !== 0) {
      await rm(folder, { recursive: true, force: true });
      throw new Error(`The program does not compile:\n${said}`);
    }
    return new ListeningProgram(folder, join(folder, 'dist/test/takeover/workers/listening.worker.js'));
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** One process that listens, and what it noted. */
export class ListeningProcess {
  readonly process: OwnedProcess;
  private readonly history: string;
  private readonly log: string;

  /** @param folder a ScratchFolder's, which sees to it that the process does not outlive the tests */
  constructor(program: ListeningProgram, folder: string, name: string, setup: Omit<WorkerSetup, 'history'>) {
    this.history = join(folder, `${name}.jsonl`);
    this.log = join(folder, `${name}.log`);
    writeFileSync(this.history, '');
    const told: WorkerSetup = { ...setup, history: this.history };
    this.process = OwnedProcess.spawn({
      command: globalThis.process.execPath,
      args: ['--enable-source-maps', program.file, JSON.stringify(told)],
      folder,
      logFile: this.log,
      pidFile: join(folder, `${name}.pid`),
    });
  }

  async ready(): Promise<void> {
    const isDecided = (): boolean => this.process.ended !== undefined || readFileSync(this.history).length > 0;
    await eventually('a process listens', isDecided, START_TIMEOUT);
    if (this.process.ended !== undefined) throw new Error(`${this.process.ended}:\n${readFileSync(this.log, 'utf8')}`);
  }

  async handled(): Promise<readonly Extract<HistoryLine, { kind: 'handled' }>[]> {
    const lines = (await readFile(this.history, 'utf8')).split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as HistoryLine).filter((line) => line.kind === 'handled');
  }

  /** What it printed. */
  said(): string {
    return readFileSync(this.log, 'utf8');
  }
}
