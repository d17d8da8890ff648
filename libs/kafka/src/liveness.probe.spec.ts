import { beforeEach, describe, expect, it } from 'vitest';
import { HandClock } from './kafka.fixture.js';
import { LivenessProbe } from './liveness.probe.js';

describe('the liveness probe', () => {
  let clock: HandClock;
  let told: string[];
  /** Whether the usual broker answers when it is asked. */
  let awake: boolean;
  let probe: LivenessProbe;
  beforeEach(() => {
    clock = new HandClock();
    told = [];
    awake = true;
    probe = new LivenessProbe(
      { clock, interval: 3_000, timeout: 5_000 },
      {
        ask: () => {
          told.push('ask');
          if (awake) probe.answered(true);
        },
        replace: () => told.push('replace'),
        silent: () => told.push('silent'),
        answering: () => told.push('answering'),
      },
    );
    probe.answered(true);
    probe.start();
  });

  it('asks only where nothing was answered for a while', async () => {
    for (let round = 0; round < 10; round++) {
      await clock.advance(1_000);
      probe.answered(true);
    }
    expect(told).toEqual([]);
    await clock.advance(2_900);
    expect(told).toEqual([]);
    await clock.advance(200);
    expect(told).toEqual(['ask']);
    await clock.advance(3_000);
    expect(told).toEqual(['ask', 'ask']);
  });

  it('is started once, however often', async () => {
    probe.start();
    await clock.advance(3_100);
    probe.start();
    await clock.advance(200);
    expect(told).toEqual(['ask']);
  });

  it('tells of silence in time, once, and of the next answer', async () => {
    awake = false;
    await clock.advance(3_050);
    expect(told).toEqual(['ask']);
    await clock.advance(2_500);
    expect(told).toEqual(['ask', 'replace']);
    await clock.advance(2_400);
    expect(told).toEqual(['ask', 'replace']);
    await clock.advance(200);
    expect(told).toEqual(['ask', 'replace', 'silent']);
    await clock.advance(60_000);
    expect(told).toEqual(['ask', 'replace', 'silent']);
    probe.answered(false);
    probe.answered(true);
    expect(told.slice(3)).toEqual(['answering']);
  });

  it('goes on after that', async () => {
    awake = false;
    await clock.advance(9_000);
    probe.answered(true);
    await clock.advance(9_000);
    expect(told).toEqual(['ask', 'replace', 'silent', 'answering', 'ask', 'replace', 'silent']);
  });

  it('replaces a silent connection, and keeps still about it, while any other broker answers', async () => {
    awake = false;
    for (let round = 0; round < 20; round++) {
      await clock.advance(1_000);
      probe.answered(false);
    }
    expect(told).toEqual(['ask', 'replace']);
    probe.answered(true);
    await clock.advance(1_000);
    expect(told).toEqual(['ask', 'replace']);
  });

  it('counts the silence from the last answer of anybody', async () => {
    awake = false;
    await clock.advance(3_500);
    probe.answered(false);
    await clock.advance(4_900);
    expect(told).not.toContain('silent');
    await clock.advance(200);
    expect(told).toContain('silent');
  });

  it('hears first what came in while this process was suspended', async () => {
    awake = false;
    await clock.advance(3_050);
    // When it goes on, what was due runs before the sockets are read.
    clock.setTimeout(() => probe.answered(true), 60_000);
    await clock.advance(60_000, 60_000);
    expect(told).toEqual(['ask']);
  });

  it('tells nothing more when it is stopped', async () => {
    awake = false;
    await clock.advance(3_100);
    probe.stop();
    await clock.advance(60_000);
    probe.answered(true);
    probe.start();
    await clock.advance(60_000);
    expect(told).toEqual(['ask']);
  });
});
