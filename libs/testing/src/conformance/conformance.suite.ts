import { allCases } from './cases/all.cases.js';
import type { ConformanceCase } from './conformance.case.js';
import type { ConformanceEnvironment } from './conformance.environment.js';
import { ConformanceReport } from './conformance.report.js';
import { Trial } from './trial.js';

/**
 * The two functions of a test runner that the suite uses: those of vitest, jest, mocha or node:test. The limit of a case in
 * milliseconds is passed as the third argument, which vitest and jest heed.
 */
export interface TestRunner {
  describe(name: string, body: () => void): unknown;
  it(name: string, body: (...given: unknown[]) => Promise<void>, limit?: number): unknown;
}

export interface ConformanceOptions {
  /** Ids of the cases to run. @default all */
  readonly only?: readonly string[];
  /** Of the random numbers. @default another one each time; a failure names it */
  readonly seed?: number;
  /** Takes one line for each case that is skipped. @default console.log */
  readonly print?: (line: string) => void;
}

/** A test framework's own way to skip a test that has begun; vitest's throws, node:test's returns. */
interface Skippable {
  skip(reason: string): unknown;
}

/**
 * Declares the conformance suite: one test for each sentence of the provider's contract.
 *
 *     import { describe, it } from 'vitest';
 *     conformance({ describe, it }, { name: 'my-broker', open: async () => ({ provider, close }) });
 *
 * Cases share nothing but the broker: with `it: it.concurrent` several run at one time, most of which only wait.
 *
 * A case that needs an ability that the provider does not declare, or a fault that the environment cannot bring about, is
 * skipped: its reason is printed, given to the runner where that knows skipped tests, and kept in the report.
 */
export function conformance(
  runner: TestRunner,
  environment: ConformanceEnvironment,
  options: ConformanceOptions = {},
): ConformanceReport {
  const report = new ConformanceReport(environment.name, options.seed ?? Math.floor(Math.random() * 2 ** 31));
  const chosen = choose(options.only, environment);
  // What is skipped must be seen, whatever the runner shows.
  const print = options.print ?? ((line: string): void => console.log(line));
  const limit = Math.max(30_000, (environment.patience ?? 10_000) * 10);
  runner.describe(`the ${environment.name} provider keeps its contract`, () => {
    for (const one of chosen)
      runner.it(
        `${one.id}: ${one.title}`,
        // No named parameter: jest and mocha would wait for a callback.
        async (...given) => {
          const reason = await runCase(one, environment, report);
          if (reason === undefined) return;
          print(`${environment.name} skipped ${one.id}: ${reason}`);
          if (isSkippable(given[0])) given[0].skip(reason);
        },
        limit,
      );
  });
  return report;
}

/** Ids of all cases, with what each shows. */
export const conformanceCases: readonly Pick<ConformanceCase, 'id' | 'title'>[] = allCases;

/** Runs one case and writes down how it ended. @returns why it was skipped, if it was */
async function runCase(
  one: ConformanceCase,
  environment: ConformanceEnvironment,
  report: ConformanceReport,
): Promise<string | undefined> {
  const began = Date.now();
  const { id, title } = one;
  const write = (result: { outcome: 'passed' | 'failed' | 'skipped'; reason?: string; error?: unknown }): void =>
    void report.results.push({ id, title, ...result, milliseconds: Date.now() - began });
  try {
    const reason = environment.exceptions?.[id] ?? (await attempt(one, environment, report.seed));
    write(reason === undefined ? { outcome: 'passed' } : { outcome: 'skipped', reason });
    return reason;
  } catch (error) {
    write({ outcome: 'failed', error });
    throw error;
  }
}

async function attempt(
  one: ConformanceCase,
  environment: ConformanceEnvironment,
  seed: number,
): Promise<string | undefined> {
  const cluster = await environment.open();
  let trial: Trial;
  try {
    trial = new Trial(environment, cluster, seed);
  } catch (error) {
    await cluster.close();
    throw error;
  }
  let failure: Error | undefined;
  const reason = (one.needs ?? []).map((need) => need(trial)).find((missing) => missing !== undefined);
  try {
    if (reason === undefined) await one.run(trial);
  } catch (error) {
    failure = explained(error, trial, seed);
  }
  try {
    await trial.close();
  } catch (error) {
    failure ??= explained(error, trial, seed);
  }
  if (failure !== undefined) throw failure;
  return reason;
}

/** The error itself, so that the runner shows where it was thrown, with what helps to understand it. */
function explained(thrown: unknown, trial: Trial, seed: number): Error {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  const log = trial.lastWords();
  error.message += `\nseed ${seed}${log === '' ? '' : `; the last things logged:\n${log}`}`;
  return error;
}

function choose(only: readonly string[] | undefined, environment: ConformanceEnvironment): readonly ConformanceCase[] {
  const known = new Set(allCases.map(({ id }) => id));
  for (const id of [...(only ?? []), ...Object.keys(environment.exceptions ?? {})])
    if (!known.has(id)) throw new Error(`There is no conformance case "${id}": known are ${[...known].join(', ')}.`);
  return only === undefined ? allCases : allCases.filter(({ id }) => only.includes(id));
}

/** vitest's is a function, node:test's an object. */
function isSkippable(given: unknown): given is Skippable {
  const canHave = typeof given === 'function' || (typeof given === 'object' && given !== null);
  return canHave && 'skip' in given && typeof given.skip === 'function';
}
