import { rm } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { Stage } from '../stage.js';
import { PLANTED_MISTAKES } from './planted.mistakes.js';

const seed = Number(process.env['RELIABILITY_SEED'] ?? 11);

/** Milliseconds: what a mistake loses never comes. */
const PATIENCE = 20_000;

describe(`a mistake is called by its name (RELIABILITY_SEED=${seed})`, { timeout: 600_000 }, () => {
  for (const mistake of PLANTED_MISTAKES) {
    it(mistake.name, async ({ skip }) => {
      const stage = await Stage.open(mistake);
      try {
        const options = { seed, events: 600, faults: 4, pause: 50, patience: PATIENCE, say: () => undefined };
        const result = await stage.play(mistake.system ?? 'postgres', options);
        if (typeof result === 'string') {
          skip(result);
          return;
        }
        const { problems, folder } = result;
        // It is full of what was to be found.
        if (folder !== undefined) await rm(folder, { recursive: true, force: true });
        console.log(`${mistake.name}: ${problems.length} problems, e.g. ${problems[0]?.split('\n')[0] ?? 'none'}`);
        for (const property of mistake.shows)
          expect(problems.some((problem) => problem.startsWith(`${property}: `))).toBe(true);
      } finally {
        await stage.close();
      }
    });
  }
});
