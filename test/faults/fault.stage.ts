import { type KafkaBroker, startOwnKafka } from '../brokers/brokers.js';
import type { Limits } from './checker/limits.js';
import type { Verdict } from './checker/history.checker.js';
import type { PlantedFault } from './planted/planted.faults.js';
import type { Scenario } from './scenarios.js';
import { Programs } from '../programs/programs.js';
import { Trial } from './trial.js';
import { COMMIT_INTERVAL, PARTITIONS, SESSION_TIMEOUT, WINDOW } from './workers/worker.setup.js';

const LIMITS: Limits = {
  unwritten: COMMIT_INTERVAL + 2_000,
  recovery: SESSION_TIMEOUT,
  awakening: 3_000,
  inHand: WINDOW * PARTITIONS,
};

/** Where scenarios are played: a broker, and the programs. */
export class FaultStage {
  private constructor(
    private readonly kafka: KafkaBroker | undefined,
    private readonly programs: Programs,
    /** Why there is no broker; empty if there is one. */
    readonly missing: string,
  ) {}

  static async open(fault?: PlantedFault): Promise<FaultStage> {
    const [had, programs] = await Promise.all([startOwnKafka(), Programs.compiled(fault)]);
    return had.available
      ? new FaultStage(had, programs, '')
      : new FaultStage(undefined, programs, `no Kafka: ${had.reason}`);
  }

  /** Rejects where the scenario cannot be played to its end. */
  async play({ listeners, setup, play }: Scenario, seed: number): Promise<Verdict & { readonly said: string }> {
    const { kafka, programs } = this;
    if (kafka === undefined) throw new Error(this.missing);
    const shop = await Trial.begin({ kafka, programs, seed, ...setup }, listeners);
    try {
      await play(shop);
      return await shop.conclude(LIMITS);
    } finally {
      await shop.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.kafka?.close(), this.programs.close()]);
  }
}
