import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { repositoryRoot } from '../../brokers/repository-root.js';
import { plant } from '../../programs/planting.js';
import { PLANTED_MISTAKES } from './planted.mistakes.js';

// Whether a run finds them takes minutes: `npm run test:planted`.
describe('mistakes to be planted', () => {
  it.each(PLANTED_MISTAKES)('have their place: $name', (mistake) => {
    const source = readFileSync(join(repositoryRoot(), `${mistake.file}.ts`), 'utf8');
    expect(plant(mistake, source)).not.toBe(source);
  });
});
