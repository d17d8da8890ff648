import { describe, expect, it } from 'vitest';
import { paintFor } from './paint.js';

const red = (isTTY: boolean, env: NodeJS.ProcessEnv): string => paintFor({ isTTY }, env)('red', 'x');

describe('colours', () => {
  it('are for terminals', () => {
    expect(red(true, {})).toBe('\u001b[31mx\u001b[39m');
    expect(red(false, {})).toBe('x');
    expect(red(true, { TERM: 'dumb' })).toBe('x');
  });

  it('are left out where NO_COLOR is set to anything', () => {
    expect(red(true, { NO_COLOR: '1' })).toBe('x');
    expect(red(true, { NO_COLOR: '' })).toBe('\u001b[31mx\u001b[39m');
  });
});
