import type { Planting } from '../programs/planting.js';
import { Programs } from '../programs/programs.js';
import { Run, type RunOptions, type RunResult } from './run.js';
import { SYSTEMS } from './systems/systems.js';
import type { SystemName } from './workers/worker.setup.js';

/** Where runs are played: the programs, and a new system for each run. */
export class Stage {
  private constructor(private readonly programs: Programs) {}

  /** @param mistake put into what is compiled of the package or the service */
  static async open(mistake?: Planting): Promise<Stage> {
    return new Stage(await Programs.compiled(mistake));
  }

  /** @returns why it could not be played, where a part cannot be had */
  async play(name: SystemName, options: RunOptions): Promise<RunResult | string> {
    const system = await SYSTEMS[name]();
    if (!system.available) return system.reason;
    try {
      return await Run.play(system, this.programs, options);
    } finally {
      await system.close();
    }
  }

  async close(): Promise<void> {
    await this.programs.close();
  }
}
