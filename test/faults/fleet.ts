import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { OwnedProcess } from '../brokers/owned-process.js';
import type { Programs } from '../programs/programs.js';
import { type FaultRecord, historyTime } from '../../libs/testing/src/index.js';
import type { Handling, Send } from './history.js';
import { HistoryReader } from './history.reader.js';
import type { WorkerSetup } from './workers/worker.setup.js';

type Role = 'listening' | 'sending';

const START_TIMEOUT = 180_000;
/** More than the drain of an application. */
const END_TIMEOUT = 120_000;

/** One process of a service, and what it noted. */
export interface Member {
  readonly name: string;
  readonly process: OwnedProcess;
  readonly history: HistoryReader;
  readonly log: string;
}

export type FleetSetup = Omit<WorkerSetup, 'history' | 'seed'> & {
  readonly programs: Programs;
  /** A scratch folder, whose keeper ends the processes if the tests die. */
  readonly folder: string;
};

/** The processes of a trial. All are ours to kill; what is done to them is on record. */
export class Fleet {
  readonly faults: FaultRecord[] = [];
  private readonly members: Member[] = [];

  constructor(private readonly setup: FleetSetup) {}

  /** Does not wait until it is ready. */
  start(role: Role, seed: number): Member {
    const { programs, folder, ...setup } = this.setup;
    const name = `${role}-${this.members.length}`;
    const history = join(folder, `${name}.jsonl`);
    writeFileSync(history, '');
    const told: WorkerSetup = { ...setup, history, seed };
    const log = join(folder, `${name}.log`);
    const process = OwnedProcess.spawn({
      command: globalThis.process.execPath,
      args: ['--enable-source-maps', programs.file(`test/faults/workers/${role}.worker`), JSON.stringify(told)],
      folder,
      logFile: log,
      pidFile: join(folder, `${name}.pid`),
    });
    const member = { name, process, history: new HistoryReader(name, history), log };
    this.members.push(member);
    return member;
  }

  /** Connected, and in its group. */
  async ready({ name, process, history, log }: Member): Promise<void> {
    const isDecided = (): boolean => process.ended !== undefined || history.count('ready') > 0;
    await eventually(`${name} is ready`, isDecided, START_TIMEOUT, () => tail(log));
    if (process.ended !== undefined) throw new Error(`${name} ${process.ended}:\n${tail(log)}`);
  }

  /** SIGTERM, and it ends by itself, with everything in order. */
  async leave({ name, process, log }: Member): Promise<void> {
    await process.stop(END_TIMEOUT);
    if (process.ended !== 'ended with code 0') throw new Error(`${name} ${process.ended}, not in order:\n${tail(log)}`);
  }

  /** SIGKILL. */
  async kill({ name, process }: Member): Promise<void> {
    const from = historyTime();
    await process.kill();
    this.faults.push({ kind: 'fault', fault: 'killed', process: name, from, to: historyTime() });
  }

  /** SIGSTOP, and SIGCONT after `meanwhile`. */
  async stop({ name, process }: Member, meanwhile: () => Promise<void>): Promise<void> {
    const from = historyTime();
    await process.suspend();
    try {
      await meanwhile();
    } finally {
      process.resume();
      this.faults.push({ kind: 'fault', fault: 'stopped', process: name, from, to: historyTime() });
    }
  }

  sends(): Send[] {
    return this.members.flatMap(({ history }) => history.sends());
  }

  handlings(): Handling[] {
    return this.members.flatMap(({ history }) => history.handlings());
  }

  /** How often a listener of any process finished. */
  handled(): number {
    return this.members.reduce((sum, { history }) => sum + history.count('ended'), 0);
  }

  /** The end of what each process printed. */
  said(): string {
    return this.members.map(({ name, log }) => `--- ${name}\n${tail(log)}`).join('\n');
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map(({ process }) => (process.ended === undefined ? process.kill() : undefined)));
  }
}

function tail(file: string): string {
  return readFileSync(file, 'utf8').split('\n').slice(-15).join('\n');
}
