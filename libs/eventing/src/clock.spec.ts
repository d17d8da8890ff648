import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { systemClock } from './clock.js';

describe('the system clock', () => {
  it('tells the time', () => {
    const before = Date.now();
    expect(systemClock.now()).toBeGreaterThanOrEqual(before);
    expect(systemClock.now()).toBeLessThanOrEqual(Date.now());
  });

  it('never calls early, also as Date.now() sees it', async () => {
    for (const wait of [0, 0.4, 1, 5]) {
      const begun = Date.now();
      const called = await new Promise<number>((resolve) => {
        // The timer keeps no process alive, so the test has to.
        const alive = setInterval(() => undefined, 1000);
        systemClock.setTimeout(() => {
          clearInterval(alive);
          resolve(Date.now());
        }, wait);
      });
      expect(called - begun).toBeGreaterThanOrEqual(wait);
    }
  });

  it('asks Node for no more than it can wait, which would fire at once', () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    let called = false;
    systemClock.setTimeout(() => (called = true), 10 ** 12);
    vi.advanceTimersByTime(2 ** 31 - 2);
    expect(called).toBe(false);
    vi.advanceTimersByTime(1);
    expect(called).toBe(true);
  });

  it('does not call what was cancelled, however often', () => {
    vi.useFakeTimers();
    onTestFinished(() => void vi.useRealTimers());
    let called = false;
    const timer = systemClock.setTimeout(() => (called = true), 10);
    timer.cancel();
    timer.cancel();
    vi.advanceTimersByTime(1000);
    expect(called).toBe(false);
  });
});
