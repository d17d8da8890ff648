import type { WorkerSetup } from './worker.setup.js';

/** Not for the run's own process. */
export const setup = JSON.parse(process.argv[2] ?? '{}') as WorkerSetup;
