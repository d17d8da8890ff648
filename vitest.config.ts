import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * What is slow first, or the last of it would keep everybody; and of two files that mostly wait for brokers, one that mostly computes, so
 * that there is always something to do. Vitest's own order is by size, of small files that start a lot.
 */
class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => SLOW.findIndex((slow) => slow.test(moduleId));
    const sorted = (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
    const waiting = sorted.filter(({ moduleId }) => WAITING.test(moduleId));
    const computing = sorted.filter(({ moduleId }) => !WAITING.test(moduleId));
    const mixed = waiting.flatMap((file, at) => (at % 2 === 0 ? [file] : [file, ...computing.splice(0, 1)]));
    return [...mixed, ...computing];
  }
}

const WAITING = /\.int\.spec\./;
const SLOW = [/\/(?:faults|reliability|conformance)\/.*\.int\.spec\./, /\.(?:int|e2e)\.spec\.|\/conformance\//, /./];

export default defineConfig({
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  resolve: { tsconfigPaths: true },
  test: {
    include: ['{libs,apps,test,benchmarks}/**/*.spec.ts'],
    setupFiles: ['reflect-metadata'],
    globalSetup: ['test/brokers/global-setup.ts'],
    // Importing Nest costs half a second a file: share it. No module of ours keeps mutable state, so nothing leaks.
    isolate: false,
    // On two cores: what waits for brokers leaves the processor to others.
    maxWorkers: 3,
    sequence: { sequencer: SlowestFirst },
    // Patience is not an assertion: a bound for what hangs, far above what a busy machine takes.
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
