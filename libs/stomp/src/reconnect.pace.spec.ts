import { expect, it } from 'vitest';
import { ReconnectPace } from './reconnect.pace.js';

it('connects at once after a connection that was worth it, and slower and slower after such as were not', () => {
  const pace = new ReconnectPace();
  expect([pace.after(5_000, false), pace.after(1, true), pace.after(1, false), pace.after(1, false)]).toEqual([
    0, 0, 0, 0,
  ]);
  const pauses = Array.from({ length: 12 }, () => pace.after(1, false));
  expect(pauses[0]).toBeGreaterThanOrEqual(10);
  expect(pauses.at(-1)).toBeGreaterThanOrEqual(2_500);
  expect(Math.max(...pauses)).toBeLessThanOrEqual(5_000);
  expect(pace.after(1, true)).toBe(0);
});
