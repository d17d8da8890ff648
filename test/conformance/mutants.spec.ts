import { beforeAll, describe, expect, it } from 'vitest';
import {
  conformance,
  conformanceCases,
  type ConformanceReport,
  type ConformanceResult,
  type TestRunner,
} from 'nestjs-eventing/testing';
import { memoryEnvironment } from './memory.environment.js';
import type { MutantPlan } from './mutant.plan.js';
import { mutated } from './mutant.provider.js';
import { mutants } from './mutants.js';

/** For cases that end at once when they notice: long enough on a busy machine too. */
const PATIENCE = 30_000;
/** For cases that notice by waiting in vain: long enough for what they do before. */
const SHORT_PATIENCE = 4_000;
/**
 * On a machine that is busy enough a mutant comes too late with what it does too early, or a case waits in vain before it comes to what it
 * would notice. What is not noticed is tried again, by fewer at one time and with more patience. In the first round most only wait.
 */
const ROUNDS = [
  { atOnce: 16, patience: 1 },
  { atOnce: 4, patience: 2 },
  { atOnce: 1, patience: 4 },
];

type Says = MutantPlan['caught'][string];

describe('the suite notices a provider that', () => {
  const ends = new Map<string, ConformanceResult | undefined>();

  beforeAll(async () => {
    let open = mutants.flatMap((mutant) =>
      Object.entries(mutant.caught).map(([id, says]) => ({ ...mutant, id, says })),
    );
    for (const round of ROUNDS) {
      const left = open;
      open = [];
      const work = async (): Promise<void> => {
        for (let next = left.shift(); next !== undefined; next = left.shift()) {
          const patience = (next.says instanceof RegExp ? PATIENCE : SHORT_PATIENCE) * round.patience;
          const environment = { ...memoryEnvironment(patience), ...(next.silence && { silence: next.silence }) };
          const end = (await run(mutated(environment, next.mutate), [next.id])).of(next.id);
          ends.set(`${next.name}: ${next.id}`, end);
          if (!isNoticed(end, next.says)) open.push(next);
        }
      };
      await Promise.all(Array.from({ length: round.atOnce }, work));
    }
  }, 600_000);

  for (const { name, caught } of mutants)
    it(name, () => {
      for (const [id, says] of Object.entries(caught)) {
        const end = ends.get(`${name}: ${id}`);
        expect(end?.outcome, `${id} did not notice it`).toBe('failed');
        expect(messageOf(end), id).toMatch(patternOf(says));
      }
    });
});

function isNoticed(end: ConformanceResult | undefined, says: Says): boolean {
  return end?.outcome === 'failed' && patternOf(says).test(messageOf(end));
}

const patternOf = (says: Says): RegExp => (says instanceof RegExp ? says : says.awaited);
const messageOf = (end: ConformanceResult | undefined): string => String((end?.error as Error | undefined)?.message);

it('has a mutant for each case', () => {
  const { exceptions = {} } = memoryEnvironment();
  const noticed = new Set([...mutants.flatMap(({ caught }) => Object.keys(caught)), ...Object.keys(exceptions)]);
  expect(conformanceCases.map(({ id }) => id).filter((id) => !noticed.has(id))).toEqual([]);
});

it('finds nothing wrong with a provider that is wrapped and not changed', { timeout: 600_000 }, async () => {
  const unchanged = mutated(memoryEnvironment(), () => ({}));
  const skipped = Object.keys(unchanged.exceptions ?? {});
  const all = conformanceCases.map(({ id }) => id);
  const report = await run(unchanged, all);
  expect(report.failed.map(({ id, error }) => `${id}: ${String(error)}`)).toEqual([]);
  expect(report.skipped.map(({ id }) => id)).toEqual(skipped);
  expect(report.passed.length).toBe(all.length - skipped.length);
});

/** Runs cases as a test runner would, and tells how they ended. */
async function run(
  environment: ReturnType<typeof memoryEnvironment>,
  only: readonly string[],
): Promise<ConformanceReport> {
  const bodies: (() => Promise<void>)[] = [];
  const runner: TestRunner = { describe: (_name, body) => body(), it: (_name, body) => bodies.push(body) };
  const report = conformance(runner, environment, { only, print: () => undefined });
  for (const body of bodies) await body().catch(() => undefined);
  return report;
}
