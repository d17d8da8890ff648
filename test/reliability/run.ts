import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { HistoryWriter, type HistoryVerdict, judgeHistory, readHistory } from '../../libs/testing/src/index.js';
import { eventually } from '../../libs/testing/src/conformance/eventually.js';
import { SeededRandom } from '../../libs/testing/src/conformance/seeded.random.js';
import { cacheFolder } from '../brokers/repository-root.js';
import { ScratchFolder } from '../brokers/scratch-folder.js';
import type { Programs } from '../programs/programs.js';
import { Crew } from './crew.js';
import { planFaults } from './fault.plan.js';
import { Nemesis } from './nemesis.js';
import { type Progress, ShopDatabase } from './shop.database.js';
import type { System } from './systems/system.js';

export interface RunOptions {
  readonly seed: number;
  /** Orders; each makes a payment. */
  readonly events: number;
  readonly faults: number;
  /** Milliseconds between two transactions of one of eight lanes. */
  readonly pause: number;
  /** Milliseconds without any progress after which a run is given up and judged. */
  readonly patience: number;
  readonly say: (text: string) => void;
}

export interface RunResult {
  /** Violations and whatever else should not be, as sentences. */
  readonly problems: readonly string[];
  readonly figures: HistoryVerdict['figures'];
  /** With the histories and what the processes printed; `undefined` where all was well, and nothing is kept. */
  readonly folder: string | undefined;
}

/** Milliseconds between two looks at how far things are. */
const LOOK = 200;

/** One run of the service on one system: load, faults, rest, judgement. */
export class Run {
  #progress: Progress = { placed: 0, drawn: 0, charged: 0, settled: 0, waiting: 0 };
  #changedAt = Date.now();

  private constructor(
    private readonly system: System,
    private readonly options: RunOptions,
    private readonly folder: string,
    private readonly crew: Crew,
    private readonly database: ShopDatabase,
    private readonly nemesis: Nemesis,
  ) {}

  /** Rejects where it cannot be played at all. The system is used up by it. */
  static async play(system: System, programs: Programs, options: RunOptions): Promise<RunResult> {
    const { seed, say } = options;
    const base = join(cacheFolder(), 'reliability');
    await mkdir(base, { recursive: true });
    const folder = await mkdtemp(join(base, `${system.name}-${seed}-`));
    const pids = await ScratchFolder.create('reliability');
    const random = new SeededRandom(seed);
    const faults = new HistoryWriter(join(folder, 'faults.jsonl'), 'nemesis');
    const address = system.database.access.connectionString;
    const database = new ShopDatabase(address);
    const told = { system: system.name, database: address, broker: system.broker, pause: options.pause };
    const crew = new Crew({ programs, folder, pids: pids.path, faults, random, told });
    const nemesis = new Nemesis(system, crew, database, random, faults, say);
    try {
      const problems = await new Run(system, options, folder, crew, database, nemesis).#play(random);
      const { verdict, violations } = await judge(system, crew, folder);
      const all = [...problems, ...crew.problems, ...violations];
      if (all.length === 0) await rm(folder, { recursive: true, force: true });
      return { problems: all, figures: verdict.figures, folder: all.length === 0 ? undefined : folder };
    } catch (cause) {
      throw new Error(`The run broke off; what there is of it is in ${folder}: ${String(cause)}`, { cause });
    } finally {
      await crew.close();
      faults.close();
      await database.close();
      await pids.remove();
    }
  }

  /** @returns what went wrong on the way */
  async #play(random: SeededRandom): Promise<string[]> {
    const { crew, nemesis, system, options } = this;
    const plan = planFaults(random, options.faults, system.name);
    await this.database.create();
    await Promise.all([crew.join('consuming'), crew.join('consuming')]);
    await system.prepare();
    await Promise.all([crew.join('producing'), crew.join('producing')]);
    const problems: string[] = [];
    try {
      for (const [index, fault] of plan.entries()) {
        // There is to be work left for the faults that are to come, however long this one takes.
        const share = Math.ceil((options.events * (index + 1)) / (plan.length + 1));
        await this.#allow(share);
        await this.#until((now) => now.drawn >= share * fault.at);
        await nemesis.strike(fault);
      }
      await this.#allow(options.events);
      await this.#until((now) => now.drawn >= options.events);
    } catch (error) {
      problems.push(`stuck: ${String(error)}`);
    }
    problems.push(...(await nemesis.rest()), ...crew.deserters());
    options.say('all faults are over');
    await Promise.all(crew.free('producing').map((member) => crew.leave(member)));
    await this.#until((now) => this.#isAtRest(now)).catch((error: unknown) =>
      problems.push(`stuck: at the end: ${String(error)}`),
    );
    problems.push(...crew.deserters());
    await Promise.all(crew.free('consuming').map((member) => crew.leave(member)));
    await this.#testify();
    return problems;
  }

  /** Rejects when nothing has moved for too long. */
  async #until(isSo: (now: Progress) => boolean | Promise<boolean>): Promise<void> {
    this.#changedAt = Date.now();
    for (;;) {
      const now = await this.database.progress().catch(() => this.#progress);
      if (JSON.stringify(now) !== JSON.stringify(this.#progress)) this.#changedAt = Date.now();
      this.#progress = now;
      if (await isSo(now)) return;
      if (Date.now() - this.#changedAt > this.options.patience)
        throw new Error(`nothing moves for ${this.options.patience} ms: ${JSON.stringify(now)}`);
      await pause(LOOK);
    }
  }

  /** Everything that was committed has had its effect. The longer question is only put where the shorter one is answered. */
  async #isAtRest({ placed, charged, settled, waiting }: Progress): Promise<boolean> {
    if (waiting > 0 || charged < placed || settled < placed) return false;
    return (await this.database.missing().catch(() => 1)) === 0;
  }

  /** The database may be away. */
  #allow(orders: number): Promise<void> {
    const allowed = (): Promise<boolean> => this.database.allow(orders).then(() => true);
    return eventually(`${orders} orders are allowed`, allowed, this.options.patience);
  }

  async #testify(): Promise<void> {
    const history = new HistoryWriter(join(this.folder, 'witness.jsonl'), 'witness');
    await this.database.testify(history);
    await this.system.published((record) => history.note(record));
    history.note({ kind: 'read', what: 'published' });
    history.close();
  }
}

async function judge(
  system: System,
  crew: Crew,
  folder: string,
): Promise<{ readonly verdict: HistoryVerdict; readonly violations: string[] }> {
  const files = [
    ...crew.members.map(({ history }) => history),
    join(folder, 'faults.jsonl'),
    join(folder, 'witness.jsonl'),
  ];
  const verdict = judgeHistory(await readHistory(files), system.expectations);
  return { verdict, violations: verdict.violations.map(({ property, what }) => `${property}: ${what}`) };
}
