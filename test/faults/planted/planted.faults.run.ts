import { describe, expect, it } from 'vitest';
import { FaultStage } from '../fault.stage.js';
import { PLANTED_FAULTS } from './planted.faults.js';

const seed = Number(process.env['FAULT_SEED'] ?? Date.now() % 1_000_000);

describe(`a fault in the provider is caught (FAULT_SEED=${seed})`, { timeout: 300_000 }, () => {
  for (const fault of PLANTED_FAULTS) {
    it(fault.name, async ({ skip }) => {
      const stage = await FaultStage.open(fault);
      try {
        skip(stage.missing !== '', stage.missing);
        const shown = await stage.play(fault.caughtBy, seed).then(
          ({ violations }) => violations,
          (error: unknown) => [String(error)],
        );
        console.log(`${fault.name}: ${shown.length} times, e.g. ${shown[0]?.split('\n')[0] ?? 'nothing'}`);
        expect(shown.filter((each) => each.includes(fault.shows)).slice(0, 5)).not.toEqual([]);
      } finally {
        await stage.close();
      }
    });
  }
});
