import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What waits for brokers first, or the last of them would keep everybody. Vitest's own order is by size, of small files that start a lot. */
class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => SLOW.findIndex((slow) => slow.test(moduleId));
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

const SLOW = [/\/(?:faults|reliability|conformance)\/.*\.int\.spec\./, /\.(?:int|e2e)\.spec\./, /./];

export default defineConfig({
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  resolve: { tsconfigPaths: true },
  test: {
    include: ['{libs,apps,test,benchmarks}/**/*.spec.ts'],
    setupFiles: ['reflect-metadata'],
    globalSetup: ['test/brokers/global-setup.ts'],
    // Importing Nest costs half a second a file: share it. No module of ours keeps mutable state, so nothing leaks.
    isolate: false,
    // On two cores: most of what is slow waits for brokers.
    maxWorkers: 3,
    sequence: { sequencer: SlowestFirst },
    // Patience is not an assertion: a bound for what hangs, far above what a busy machine takes.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
