import { defineConfig } from 'vitest/config';

export default defineConfig({
  oxc: { decorator: { legacy: true, emitDecoratorMetadata: true } },
  resolve: { tsconfigPaths: true },
  test: {
    include: ['{libs,apps,test,benchmarks}/**/*.spec.ts'],
    setupFiles: ['reflect-metadata'],
    globalSetup: ['test/brokers/global-setup.ts'],
    // Importing Nest costs half a second a file: share it. No module of ours keeps mutable state, so nothing leaks.
    isolate: false,
    // On two cores: most files wait for a broker most of the time.
    maxWorkers: 3,
    // Patience is not an assertion: a bound for what hangs, far above what a busy machine takes.
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
