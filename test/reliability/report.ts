import type { RunOptions, RunResult } from './run.js';
import type { SystemName } from './workers/worker.setup.js';

/** Problems that are printed: a few tell enough, the histories have the rest. */
const SHOWN = 30;

/** What a run found, with all it takes to look closer and to run it again. */
export function reportOf(
  system: SystemName,
  { seed, events, faults }: Pick<RunOptions, 'seed' | 'events' | 'faults'>,
  { problems, figures, folder }: RunResult,
  planted?: string,
): string {
  const counted = Object.entries(figures).map(([name, count]) => `${name} ${count}`);
  const lines = [`${system}, seed ${seed}: ${counted.join(', ')}`];
  if (problems.length === 0) return [...lines, 'no violations'].join('\n');
  const again = [`--events ${events}`, `--seed ${seed}`, `--faults ${faults}`, `--system ${system}`];
  if (planted !== undefined) again.push(`--planted "${planted}"`);
  return [
    ...lines,
    `${problems.length} problems:`,
    ...problems.slice(0, SHOWN).map((problem) => `  ${problem}`),
    `histories: ${folder}`,
    `again: npm run test:reliability -- ${again.join(' ')}`,
  ].join('\n');
}
