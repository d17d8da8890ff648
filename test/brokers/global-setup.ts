import { readFile } from 'node:fs/promises';
import type { ProvidedContext } from 'vitest';
import type { TestProject } from 'vitest/node';
import {
  acquireArtemis,
  acquireKafka,
  acquirePostgres,
  acquireRabbitMq,
  type ArtemisAccess,
  type Broker,
  type PostgresAccess,
  type RabbitMqAccess,
  type Unavailable,
} from './brokers.js';
import { MissingPartsReport } from './missing-parts.js';

declare module 'vitest' {
  /** What the whole run shares. A broker is started when a file of the run itself says `inject('<its key>')`. */
  interface ProvidedContext {
    /** Addresses of a Kafka; empty where none could be had. */
    kafkaBrokers: string[];
    rabbitmq: RabbitMqAccess | undefined;
    artemis: ArtemisAccess | undefined;
    postgres: PostgresAccess | undefined;
  }
}

const NEEDS_BROKERS = /\.(?:int|e2e)\.spec\.ts$/;

/** Starts what files of the run share, all at the same time. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const report = await MissingPartsReport.open();
  const asked = await askedFor(project);
  const started: Broker[] = [];
  const ifAsked = async <B extends Broker>(key: keyof ProvidedContext, acquire: () => Promise<B | Unavailable>) => {
    const broker = asked.has(key) ? await acquire() : undefined;
    if (!broker?.available) return undefined;
    started.push(broker);
    return broker;
  };
  const teardown = async () => {
    await Promise.all(started.map((broker) => broker.close()));
    const missing = await report.close();
    if (missing.length === 0) return;
    console.warn(`\nNot tested for want of real parts (REQUIRE_BROKERS=all makes this an error):`);
    for (const line of missing) console.warn(`  - ${line}`);
  };

  const starts = await Promise.allSettled([
    ifAsked('kafkaBrokers', acquireKafka).then((kafka) => project.provide('kafkaBrokers', kafka?.access.brokers ?? [])),
    ifAsked('rabbitmq', acquireRabbitMq).then((rabbit) => project.provide('rabbitmq', rabbit?.access)),
    ifAsked('artemis', acquireArtemis).then((artemis) => project.provide('artemis', artemis?.access)),
    ifAsked('postgres', acquirePostgres).then((postgres) => project.provide('postgres', postgres?.access)),
  ]);
  for (const start of starts) {
    if (start.status === 'fulfilled') continue;
    await teardown();
    throw start.reason;
  }
  return teardown;
}

/**
 * The keys that the run's files inject. Read from their text, since nothing else tells before they run, and each broker
 * costs seconds and memory; a helper that injects for its callers would not be seen.
 */
async function askedFor(project: TestProject): Promise<Set<string>> {
  // In watch mode any file may be asked for later. Vitest tells the filters of its command line to nobody: where this field
  // is gone, all files count.
  const { filenamePattern } = project.vitest as unknown as { filenamePattern?: string[] };
  const filters = project.vitest.config.watch ? undefined : filenamePattern;
  const { testFiles } = await project.globTestFiles(filters?.map((filter) => filter.replace(/:\d+$/, '')));
  const texts = await Promise.all(
    testFiles.filter((file) => NEEDS_BROKERS.test(file)).map((file) => readFile(file, 'utf8')),
  );
  return new Set(texts.flatMap((text) => [...text.matchAll(/\binject\(\s*'(\w+)'/g)].map(([, key = '']) => key)));
}
