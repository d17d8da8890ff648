import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { FaultStage } from './fault.stage.js';
import { SCENARIOS } from './scenarios.js';

/** The first run of all resolves the broker's jars. */
const PATIENCE = 300_000;

const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000);

describe(`services on a real Kafka, with faults (FAULT_SEED=${seed})`, { timeout: 600_000 }, () => {
  let stage: FaultStage | undefined;
  beforeAll(async () => {
    stage = await FaultStage.open();
  }, PATIENCE);
  beforeEach(({ skip }) => skip(opened().missing !== '', opened().missing));
  afterAll(() => stage?.close());

  function opened(): FaultStage {
    if (stage === undefined) throw new Error('The test should have been skipped.');
    return stage;
  }

  for (const [index, scenario] of SCENARIOS.entries()) {
    it(scenario.title, async () => {
      const { violations, figures, said } = await opened().play(scenario, seed * 10 + index);
      const told = Object.entries(figures).map(([name, count]) => `${name} ${count}`);
      console.log(`${scenario.title}: ${told.join(', ')}`);
      // A few violations tell enough, beside what the processes said.
      if (violations.length > 0) console.log(`${violations.length} violations. ${said}`);
      expect(violations.slice(0, 30)).toEqual([]);
    });
  }
});
