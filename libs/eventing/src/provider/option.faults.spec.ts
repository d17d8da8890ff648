import { describe, expect, it } from 'vitest';
import { optionFaults } from './option.faults.js';

describe('what is wrong with the options of a provider', () => {
  const limits = { port: [1, 65_535] } as const;

  it('is nothing, if nothing is', () => {
    expect(optionFaults({ port: 1 }, { port: 1, host: 'a' }, limits)).toEqual([]);
    expect(optionFaults({}, { port: 65_535, host: 'a' }, limits)).toEqual([]);
  });

  it('is every name that nobody knows', () => {
    expect(optionFaults({ prot: 1, hsot: 'b' }, { port: 1, host: 'a' }, limits)).toEqual([
      'there is no option `prot`; known are port, host',
      'there is no option `hsot`; known are port, host',
    ]);
  });

  it.each([0, 65_536, 1.5, NaN, '5672', undefined])('is a number that it cannot be: %s', (port) => {
    const faults = optionFaults({}, { port }, limits);
    expect(faults).toEqual([`\`port\` must be a whole number from 1 to 65535, not ${port}`]);
  });
});
