import { readFileSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { OwnedProcess } from '../brokers/owned-process.js';
import type { Programs } from '../programs/programs.js';
import type { HistoryLine, WorkerSetup } from './workers/worker.setup.js';

const START_TIMEOUT = 180_000;

/** One process that listens, and what it noted. */
export class ListeningProcess {
  readonly process: OwnedProcess;
  private readonly history: string;
  private readonly log: string;

  /** @param folder a ScratchFolder's, which sees to it that the process does not outlive the tests */
  constructor(programs: Programs, folder: string, name: string, setup: Omit<WorkerSetup, 'history'>) {
    this.history = join(folder, `${name}.jsonl`);
    this.log = join(folder, `${name}.log`);
    writeFileSync(this.history, '');
    const told: WorkerSetup = { ...setup, history: this.history };
    this.process = OwnedProcess.spawn({
      command: globalThis.process.execPath,
      args: ['--enable-source-maps', programs.file('test/takeover/workers/listening.worker'), JSON.stringify(told)],
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
