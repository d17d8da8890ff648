import { describe, expect, expectTypeOf, it } from 'vitest';
import type * as nodeTest from 'node:test';
import {
  conformance,
  conformanceCases,
  type ConformanceEnvironment,
  type ConformanceOptions,
  type ConformanceReport,
  type TestRunner,
} from 'nestjs-eventing/testing';
import { memoryEnvironment } from './memory.environment.js';
import { mutated } from './mutant.provider.js';

/** A provider that can do next to nothing, in an environment that offers no fault. */
function modest(): ConformanceEnvironment {
  const { traits: _traits, ...memory } = memoryEnvironment();
  const weak = mutated({ ...memory, name: 'modest' }, () => ({
    abilities: (abilities) => ({
      ...abilities,
      order: 'none',
      durable: false,
      groups: false,
      perProcess: false,
      longestDefer: 0,
      replay: false,
    }),
  }));
  return {
    ...weak,
    async open() {
      const { provider, close } = await weak.open();
      return { provider, close };
    },
  };
}

describe('the conformance suite', () => {
  it('asks a weak provider only what it declares, and tells the reason of every skip', async () => {
    const printed: string[] = [];
    const skips: string[] = [];
    const report = await run(
      modest(),
      { print: (line) => printed.push(line) },
      {
        skip: (reason) => skips.push(reason),
      },
    );
    expect(report.failed.map(({ id, error }) => `${id}: ${String(error)}`)).toEqual([]);
    expect(report.passed.length).toBeGreaterThan(15);
    expect(report.passed.length + report.skipped.length).toBe(conformanceCases.length);
    expect(report.of('key-order')?.reason).toBe("the provider declares order: 'none'");
    expect(report.of('competing')?.reason).toBe('the provider declares groups: false');
    expect(report.of('publish-failure')?.reason).toBe('the environment offers no makePublishFail()');
    expect(printed).toEqual(report.skipped.map(({ id, reason }) => `modest skipped ${id}: ${reason}`));
    expect(skips).toEqual(report.skipped.map(({ reason }) => reason));
    expect(String(report).split('\n')).toHaveLength(1 + report.skipped.length);
  });

  it('skips an exception with its reason and does not run it', async () => {
    const environment = { ...memoryEnvironment(), exceptions: { copies: 'a known bug, #12' } };
    const skips: string[] = [];
    const context = Object.assign(() => undefined, { skip: (reason: string) => skips.push(reason) });
    const report = await run(environment, { only: ['copies', 'release'], print: () => undefined }, context);
    expect(report.of('copies')).toMatchObject({ outcome: 'skipped', reason: 'a known bug, #12' });
    expect(skips).toEqual(['a known bug, #12']);
    expect(report.of('release')).toMatchObject({ outcome: 'passed' });
  });

  it('refuses cases that it does not know', () => {
    const declare = (environment: ConformanceEnvironment, options: ConformanceOptions) => () =>
      void conformance({ describe: () => undefined, it: () => undefined }, environment, options);
    expect(declare(memoryEnvironment(), { only: ['nonsense'] })).toThrow(/no conformance case "nonsense"/);
    expect(declare({ ...memoryEnvironment(), exceptions: { nonsense: 'x' } }, {})).toThrow(/"nonsense"/);
  });

  it('has ids that are unique, and a sentence for each', () => {
    const ids = conformanceCases.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { id, title } of conformanceCases) expect([id, title.length > 20]).toEqual([id, true]);
  });

  it('says the seed and what was logged where a case fails', async () => {
    const broken = mutated({ ...memoryEnvironment(), patience: 300 }, () => ({
      publish: async () => [],
    }));
    const report = await run(broken, { only: ['key-order'], seed: 4711 });
    expect(String(report.of('key-order')?.error)).toMatch(/0 of 900[^]*seed 4711/);
  });

  it('takes the functions of other runners', () => {
    expectTypeOf<{ describe: typeof nodeTest.describe; it: typeof nodeTest.it }>().toExtend<TestRunner>();
    expectTypeOf<{ describe: typeof describe; it: typeof it }>().toExtend<TestRunner>();
  });
});

/** Runs the suite as a runner that knows skipped tests would. @param context node:test's is an object, vitest's a function */
async function run(
  environment: ConformanceEnvironment,
  options: ConformanceOptions,
  context: { skip(reason: string): unknown } = { skip: () => undefined },
): Promise<ConformanceReport> {
  const bodies: ((...given: unknown[]) => Promise<void>)[] = [];
  const runner: TestRunner = { describe: (_name, body) => body(), it: (_name, body) => bodies.push(body) };
  const report = conformance(runner, environment, options);
  for (const body of bodies) await body(context).catch(() => undefined);
  return report;
}
