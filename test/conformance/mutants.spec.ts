import { beforeAll, describe, expect, it } from 'vitest';
import {
  conformance,
  conformanceCases,
  type ConformanceReport,
  type ConformanceResult,
  type TestRunner,
} from 'nestjs-eventing/testing';
import { memoryEnvironment } from './memory.environment.js';
import { mutated } from './mutant.provider.js';
import { mutants } from './mutants.js';

/** For cases that end at once when they notice: long enough on a busy machine too. */
const PATIENCE = 30_000;
/** For cases that notice by waiting in vain: long enough for what they do before. */
const SHORT_PATIENCE = 4_000;
/** A machine that is busy enough is late with what a mutant does too early, and then there is nothing to notice. */
const CHANCES = 3;
/** Most of them only wait. */
const AT_ONCE = 16;

describe('the suite notices a provider that', () => {
  const ends = new Map<string, ConformanceResult | undefined>();

  beforeAll(async () => {
    const left = mutants.flatMap((mutant) =>
      Object.entries(mutant.caught).map(([id, says]) => ({ ...mutant, id, says })),
    );
    const work = async (): Promise<void> => {
      for (let next = left.shift(); next !== undefined; next = left.shift()) {
        const patience = next.says instanceof RegExp ? PATIENCE : SHORT_PATIENCE;
        const environment = { ...memoryEnvironment(patience), ...(next.silence && { silence: next.silence }) };
        for (let chance = 1; chance <= CHANCES; chance++) {
          const report = await run(mutated(environment, next.mutate), [next.id]);
          const end = report.of(next.id);
          ends.set(`${next.name}: ${next.id}`, end);
          if (end?.outcome === 'failed') break;
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }, 300_000);

  for (const { name, caught } of mutants)
    it(name, () => {
      for (const [id, says] of Object.entries(caught)) {
        const end = ends.get(`${name}: ${id}`);
        expect(end?.outcome, `${id} did not notice it`).toBe('failed');
        expect(String((end?.error as Error | undefined)?.message), id).toMatch(
          says instanceof RegExp ? says : says.awaited,
        );
      }
    });
});

it('has a mutant for each case', () => {
  const { exceptions = {} } = memoryEnvironment();
  const noticed = new Set([...mutants.flatMap(({ caught }) => Object.keys(caught)), ...Object.keys(exceptions)]);
  expect(conformanceCases.map(({ id }) => id).filter((id) => !noticed.has(id))).toEqual([]);
});

it('finds nothing wrong with a provider that is wrapped and not changed', { timeout: 180_000 }, async () => {
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
