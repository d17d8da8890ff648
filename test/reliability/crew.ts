import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { type HistoryWriter, historyTime } from '../../libs/testing/src/index.js';
import type { SeededRandom } from '../../libs/testing/src/conformance/seeded.random.js';
import { OwnedProcess } from '../brokers/owned-process.js';
import type { Programs } from '../programs/programs.js';
import type { WorkerSetup } from './workers/worker.setup.js';

export type Role = 'producing' | 'consuming';

/** Milliseconds. The second is more than the drain of an application. */
const START_TIMEOUT = 180_000;
const END_TIMEOUT = 120_000;

/** How often a process is started in the place of one that could not, and milliseconds in between. */
const STARTS = 8;
const PAUSE = 1_000;

/** One life of one process. */
export interface Member {
  readonly name: string;
  readonly role: Role;
  readonly process: OwnedProcess;
  readonly history: string;
  readonly log: string;
}

export interface CrewSetup {
  readonly programs: Programs;
  /** For histories and what processes print. */
  readonly folder: string;
  /** A scratch folder's, whose keeper ends the processes if the run dies. */
  readonly pids: string;
  readonly faults: HistoryWriter;
  readonly random: SeededRandom;
  readonly told: Omit<WorkerSetup, 'name' | 'history' | 'seed'>;
}

/** The processes of the service. All are ours to kill, and what is done to them is on record. */
export class Crew {
  /** What went wrong with processes that should have ended in good order. */
  readonly problems: string[] = [];
  readonly #members: Member[] = [];
  /** Those that are there, and that nothing is being done to. */
  readonly #free = new Set<Member>();

  constructor(private readonly setup: CrewSetup) {}

  /** Of all lives, those that are over too. */
  get members(): readonly Member[] {
    return this.#members;
  }

  free(role: Role): Member[] {
    return [...this.#free].filter((member) => member.role === role);
  }

  byName(name: string): Member | undefined {
    return [...this.#free].find((member) => member.name === name);
  }

  /** One more process, at work when it resolves. One that cannot start, since what it needs is away, is started again, as orchestrators do. */
  async join(role: Role): Promise<Member> {
    for (let left = STARTS; ; left--) {
      const member = this.#start(role);
      if (await this.#isReady(member)) {
        this.#free.add(member);
        return member;
      }
      const { name, process, log } = member;
      if (left === 1) throw new Error(`${name} ${process.ended}, as those before it:\n${tail(log)}`);
      await pause(PAUSE);
    }
  }

  /** SIGTERM: it ends by itself, with everything in order. */
  async leave(member: Member): Promise<void> {
    const { name, process, log } = member;
    this.#free.delete(member);
    await process.stop(END_TIMEOUT);
    if (process.ended !== 'ended with code 0')
      this.problems.push(`good order: ${name} ${process.ended} after SIGTERM:\n${tail(log)}`);
  }

  /** SIGKILL. */
  async kill(member: Member): Promise<void> {
    const { name, process } = member;
    this.#free.delete(member);
    const from = historyTime();
    await process.kill();
    this.setup.faults.note({ kind: 'fault', fault: 'killed', process: name, from, to: historyTime() });
  }

  /** SIGSTOP, and SIGCONT so many milliseconds later. */
  async stop(member: Member, milliseconds: number): Promise<void> {
    const { name, process } = member;
    this.#free.delete(member);
    const from = historyTime();
    await process.suspend();
    await pause(milliseconds);
    process.resume();
    this.setup.faults.note({ kind: 'fault', fault: 'stopped', process: name, from, to: historyTime() });
    this.#free.add(member);
  }

  /** Whoever ended without being told to; each is told once. */
  deserters(): string[] {
    const gone = [...this.#free].filter(({ process }) => process.ended !== undefined);
    for (const member of gone) this.#free.delete(member);
    return gone.map(({ name, process, log }) => `good order: ${name} ${process.ended} by itself:\n${tail(log)}`);
  }

  async close(): Promise<void> {
    await Promise.all(this.#members.map(({ process }) => (process.ended === undefined ? process.kill() : undefined)));
  }

  /** @returns false where it has ended instead */
  async #isReady({ name, process, history, log }: Member): Promise<boolean> {
    const isReady = (): boolean => existsSync(history) && readFileSync(history, 'utf8').includes('"mark":"ready"');
    const isDecided = (): boolean => process.ended !== undefined || isReady();
    await eventually(`${name} is ready`, isDecided, START_TIMEOUT, () => tail(log));
    return process.ended === undefined;
  }

  #start(role: Role): Member {
    const { programs, folder, pids, random, told } = this.setup;
    const name = `${role}-${this.#members.length}`;
    const history = join(folder, `${name}.jsonl`);
    const log = join(folder, `${name}.log`);
    const setup: WorkerSetup = { ...told, name, history, seed: random.below(1e9) };
    const process = OwnedProcess.spawn({
      command: globalThis.process.execPath,
      args: ['--enable-source-maps', programs.file(`test/reliability/workers/${role}.worker`), JSON.stringify(setup)],
      folder,
      logFile: log,
      pidFile: join(pids, `${name}.pid`),
    });
    const member: Member = { name, role, process, history, log };
    this.#members.push(member);
    return member;
  }
}

function tail(file: string): string {
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(-40).join('\n') : '';
}
