import type { WorkerSetup } from './worker.setup.js';

/** Read when a worker begins, since its event's channel is a part of it. Not for the tests' own process. */
export const setup = JSON.parse(process.argv[2] ?? '{}') as WorkerSetup;
