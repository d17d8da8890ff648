import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { reportOf } from './report.js';
import { Stage } from './stage.js';
import { SYSTEM_NAMES } from './systems/systems.js';

/** Always the same draws, unless others are asked for: what the machine does in between is its own all the same. */
const seed = Number(process.env['RELIABILITY_SEED'] ?? 11);
const events = Number(process.env['RELIABILITY_EVENTS'] ?? 2_000);
const PATIENCE = 120_000;

describe(`a service whose processes, broker and database are killed (RELIABILITY_SEED=${seed})`, () => {
  let stage: Stage | undefined;
  beforeAll(async () => {
    stage = await Stage.open();
  }, 300_000);
  afterAll(() => stage?.close());

  for (const system of SYSTEM_NAMES) {
    it(`loses, doubles and reorders nothing on ${system}`, { timeout: 600_000 }, async ({ skip }) => {
      const options = { seed, events, faults: 8, pause: 100, patience: PATIENCE, say: () => undefined };
      const result = await (stage as Stage).play(system, options);
      if (typeof result === 'string') {
        skip(result);
        return;
      }
      console.log(reportOf(system, options, result));
      expect(result.problems.slice(0, 30)).toEqual([]);
    });
  }
});
