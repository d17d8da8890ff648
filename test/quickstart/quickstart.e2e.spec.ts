import type { ChildProcess } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ended, ProgramRunner } from '../programs/program.runner.js';
import type { PrintedAccount } from './printed.account.js';

let quickstart: ProgramRunner;
beforeAll(async () => {
  quickstart = await ProgramRunner.open('apps/quickstart/src/main');
}, 600_000);
afterAll(() => quickstart?.close());

describe('npm start', { timeout: 600_000 }, () => {
  it('prints an account of every hop and exits with 0', async () => {
    const { code, stdout, stderr } = await quickstart.run([]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    expect(stdout).toMatch(/✓ TakePayment ← orders\.placed +#3 +grace-/);
    expect(stdout).toMatch(/All 14 steps happened as told/);
    expect(stdout).not.toContain('\u001b');
  });

  it('--json prints the same as one document and nothing else', async () => {
    const { code, stdout, stderr } = await quickstart.run(['--json']);
    expect([code, stderr]).toEqual([0, '']);
    const account = JSON.parse(stdout) as PrintedAccount;
    expect(account).toMatchObject({ ok: true, provider: 'memory' });
    expect(account.steps).toHaveLength(14);
    expect(account.chapters.map(({ name }) => name)).toEqual(['session', 'retry', 'poison']);
    expect(account.tookMs).toBeLessThan(5_000);
  });

  it.each([['--colour'], ['--provider', 'mqtt'], ['--json', '--serve']])(
    '%s %s exits with 2 and tells the usage',
    async (...flags) => {
      const { code, stdout, stderr } = await quickstart.run(flags);
      expect([code, stdout]).toEqual([2, '']);
      expect(stderr).toContain('--provider NAME');
    },
  );

  it.each(['SIGINT', 'SIGTERM'] as const)('--serve stays up, works, and stops in order on %s', async (signal) => {
    const child = quickstart.start(['--serve']);
    const end = ended(child);
    const orders = await printed(child, /curl -s (http:\S+\/orders) /);

    const response = await fetch(orders, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-session': 'mine' },
      body: JSON.stringify({ customer: 'You', language: 'en', card: 'card_flaky', total: 100 }),
      signal: AbortSignal.timeout(5_000),
    });
    expect(response.status).toBe(201);
    await printed(child, /✓ (SendReceipt) ← payments\.completed +#1 +mine/);

    child.kill(signal);
    const { code, stdout, stderr } = await end;
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/Closing the shop\.\s*$/);
  });
});

/** The first group of what a child prints, as soon as it does. */
function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((found, failed) => {
    let text = '';
    const timer = setTimeout(() => failed(new Error(`${pattern} was not printed within 10 s:\n${text}`)), 10_000);
    child.stdout?.on('data', (chunk: string) => {
      const match = pattern.exec((text += chunk));
      if (match === null) return;
      clearTimeout(timer);
      found(match[1] ?? '');
    });
  });
}
