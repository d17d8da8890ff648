import { defineConfig } from 'vitest/config';
import usual from '../../../vitest.config.js';

/** `npm run test:planted`: some minutes, so not part of `npm test`. */
export default defineConfig({
  ...usual,
  root: '.',
  test: { ...usual.test, include: ['test/{faults,reliability}/planted/*.run.ts'] },
});
