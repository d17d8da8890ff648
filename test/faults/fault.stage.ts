import { type KafkaBroker, startOwnKafka } from '../brokers/brokers.js';
import { BuiltWorkers } from './built.workers.js';
import type { Limits } from './checker/limits.js';
import type { Verdict } from './checker/history.checker.js';
import type { PlantedFault } from './planted/planted.faults.js';
import type { Scenario } from './scenarios.js';
import { Trial } from './trial.js';
import { COMMIT_INTERVAL, PARTITIONS, SESSION_TIMEOUT, WINDOW } from './workers/worker.setup.js';

const LIMITS: Limits = {
  unwritten: COMMIT_INTERVAL + 2_000,
  recovery: SESSION_TIMEOUT,
  awakening: 3_000,
  inHand: WINDOW * PARTITIONS,
};

/** Where scenarios are played: a broker, and the workers' programs. */
export class FaultStage {
  private constructor(
    private readonly kafka: KafkaBroker | undefined,
    private readonly workers: BuiltWorkers,
    /** Why there is no broker; empty if there is one. */
    readonly missing: string,
  ) {}

  static async open(fault?: PlantedFault): Promise<FaultStage> {
    const [had, workers] = await Promise.all([startOwnKafka(), BuiltWorkers.build('test/faults/workers', fault)]);
    return had.available
      ? new FaultStage(had, workers, '')
      : new FaultStage(undefined, workers, `no Kafka: ${had.reason}`);
  }

  /** Rejects where the scenario cannot be played to its end. */
  async play({ listeners, setup, play }: Scenario, seed: number): Promise<Verdict & { readonly said: string }> {
    const { kafka, workers } = this;
    if (kafka === undefined) throw new Error(this.missing);
    const shop = await Trial.begin({ kafka, workers, seed, ...setup }, listeners);
    try {
      await play(shop);
      return await shop.conclude(LIMITS);
    } finally {
      await shop.close();
    }
  }

  async close(): Promise<void> {
    await Promise.all([this.kafka?.close(), this.workers.remove()]);
  }
}
