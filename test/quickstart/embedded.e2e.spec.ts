import type { ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Delivery, systemClock } from 'nestjs-eventing';
import { embedded } from 'nestjs-eventing/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ended, ProgramRunner } from '../programs/program.runner.js';

let quickstart: ProgramRunner;
let folder: string | undefined;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'evt-quickstart-'));
  quickstart = await ProgramRunner.open('apps/quickstart/src/main');
}, 600_000);
afterAll(async () => {
  await quickstart?.close();
  if (folder !== undefined) await rm(folder, { recursive: true, force: true });
});

describe('npm start -- --provider embedded', () => {
  it('is killed half-way, and finishes after a restart', async () => {
    const flags = ['--provider', 'embedded', '--data-dir', shopFolder(), '--serve'];
    const first = quickstart.start(flags);
    const orders = await printed(first, /curl -s (http:\S+\/orders) /);
    const response = await fetch(orders, {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'x-session': 'mine' },
      body: JSON.stringify({ customer: 'You', language: 'en', card: 'card_flaky', total: 100 }),
      signal: AbortSignal.timeout(20_000),
    });
    expect(response.status).toBe(201);
    const { orderId } = (await response.json()) as { orderId: string };
    // The order is stored, the payment has failed and is to be tried again.
    await printed(first, /(TakePayment) ← orders\.placed +#1 +mine/);
    const dead = ended(first);
    first.kill('SIGKILL');
    await dead;
    expect(await paymentsOf(orderId)).toBe(0);

    // The story does not wait for an order of another life: a second restart may be due.
    let payments = 0;
    for (let life = 2; payments === 0 && life <= 5; life++) {
      const shop = quickstart.start(flags);
      await printed(shop, /(All 14 steps happened as told)/);
      const end = ended(shop);
      shop.kill('SIGTERM');
      expect(await end).toMatchObject({ code: 0 });
      payments = await paymentsOf(orderId);
    }
    expect(payments).toBe(1);
  });
});

function shopFolder(): string {
  return join(folder ?? '', 'shop');
}

/** How many payments of an order are in the log, when no shop has it open. */
async function paymentsOf(orderId: string): Promise<number> {
  const provider = embedded({ dataDir: shopFolder() }).create({
    name: 'default',
    service: 'auditor',
    instance: `auditor-${Date.now()}`,
    topology: 'check',
    publishTimeout: 20_000,
    rebalanceDrain: 1_000,
    maxBodyBytes: 1_000_000,
    clock: systemClock,
    logger: { log: () => {}, warn: () => {}, error: () => {}, debug: () => {} },
    onStatus: () => {},
  });
  await provider.start([{ name: 'payments', durable: true }]);
  const found: Delivery[] = [];
  const handle = await provider.subscribe(
    {
      name: 'Audit',
      channels: ['payments'],
      perProcess: true,
      durable: false,
      from: 'earliest',
      window: 10_000,
      ordered: true,
      transactional: false,
    },
    { deliver: (delivery) => void found.push(delivery), revoked: () => Promise.resolve() },
  );
  const stored = await handle.lag();
  for (const patience = Date.now() + 20_000; found.length < stored && Date.now() < patience;)
    await new Promise((resolve) => setTimeout(resolve, 20));
  await handle.stop();
  await provider.stop();
  return found.filter(({ body }) => Buffer.from(body).toString().includes(orderId)).length;
}

/** The first group of what a child prints, as soon as it does. */
function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((found, failed) => {
    let text = '';
    const timer = setTimeout(() => failed(new Error(`${pattern} was not printed within 60 s:\n${text}`)), 60_000);
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      const match = pattern.exec((text += chunk));
      if (match === null) return;
      clearTimeout(timer);
      found(match[1] ?? '');
    });
  });
}
