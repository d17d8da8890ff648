import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PLANTED_FAULTS } from './planted.faults.js';
import { plant } from '../../programs/planting.js';

const ROOT = resolve(import.meta.dirname, '../../..');

// Whether the scenarios catch them takes minutes: `npm run test:planted`.
describe('faults to be planted', () => {
  it.each(PLANTED_FAULTS)('have their place in the provider: $name', (fault) => {
    const source = readFileSync(join(ROOT, `${fault.file}.ts`), 'utf8');
    expect(plant(fault, source)).not.toBe(source);
  });

  it('are refused where the provider was written anew', () => {
    const [fault] = PLANTED_FAULTS;
    if (fault === undefined) throw new Error('there are none');
    expect(() => plant(fault, '')).toThrow(`"${fault.name}" cannot be planted`);
  });
});
