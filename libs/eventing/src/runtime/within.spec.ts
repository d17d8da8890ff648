import { describe, expect, it } from 'vitest';
import { Gate, turn, VirtualClock } from '../kernel.fixture.js';
import { within } from './within.js';

describe('within', () => {
  it('is true when the promise resolves in time, and leaves no timer', async () => {
    const clock = new VirtualClock();
    const gate = new Gate();
    const waiting = within(gate.promise, 100, clock);
    await clock.advance(99);
    gate.open();
    expect(await waiting).toBe(true);
    expect(clock.pending).toBe(0);
  });

  it('is false when it does not, whatever it does later', async () => {
    const clock = new VirtualClock();
    const gate = new Gate();
    const waiting = within(gate.promise, 100, clock);
    await clock.advance(100);
    expect(await waiting).toBe(false);
    gate.fail(new Error('too late to matter'));
    await turn();
  });

  it('rejects as the promise does', async () => {
    const clock = new VirtualClock();
    const cause = new TypeError('no');
    await expect(within(Promise.reject(cause), 100, clock)).rejects.toBe(cause);
    // oxlint-disable-next-line prefer-promise-reject-errors -- what a careless library gives
    await expect(within(Promise.reject('text'), 100, clock)).rejects.toThrow('text');
    expect(clock.pending).toBe(0);
  });
});
