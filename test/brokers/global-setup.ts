import type { ProvidedContext } from 'vitest';
import type { TestProject } from 'vitest/node';
import { acquireKafka } from './brokers.js';
import { MissingPartsReport } from './missing-parts.js';

declare module 'vitest' {
  interface ProvidedContext {
    /** Addresses of the Kafka that the whole run shares; empty where none could be had. */
    kafkaBrokers: string[];
  }
}

const NEEDS_BROKERS = /\.(?:int|e2e)\.spec\.ts$/;

/** Starts what all files of the run share, if any of them is of a tier that needs it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const report = await MissingPartsReport.open();
  const kafka = (await needsBrokers(project)) ? await acquireKafka() : undefined;
  const kafkaBrokers: ProvidedContext['kafkaBrokers'] = kafka?.available ? kafka.access.brokers : [];
  project.provide('kafkaBrokers', kafkaBrokers);

  return async () => {
    if (kafka?.available) await kafka.close();
    const missing = await report.close();
    if (missing.length === 0) return;
    console.warn(`\nNot tested for want of real parts (REQUIRE_BROKERS=all makes this an error):`);
    for (const line of missing) console.warn(`  - ${line}`);
  };
}

/** Whether the run includes a file of such a tier; a run of unit tests alone should start nothing. */
async function needsBrokers(project: TestProject): Promise<boolean> {
  // In watch mode any file may be asked for later.
  if (project.vitest.config.watch) return true;
  // Vitest tells the filters of its command line to nobody: where this field is gone, all files count.
  const { filenamePattern } = project.vitest as unknown as { filenamePattern?: string[] };
  const filters = filenamePattern?.map((filter) => filter.replace(/:\d+$/, ''));
  const { testFiles } = await project.globTestFiles(filters);
  return testFiles.some((file) => NEEDS_BROKERS.test(file));
}
