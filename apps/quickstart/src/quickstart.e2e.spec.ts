import { ConsoleLogger, Logger } from '@nestjs/common';
import { memory, MemoryBroker } from 'nestjs-eventing';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { quickstart, type QuickstartOptions } from './quickstart.js';
import type { Account, Chapter, Entry, Step } from './story/account.js';
import { judge } from './story/verdict.js';

beforeAll(() => Logger.overrideLogger(false));
afterAll(() => Logger.overrideLogger(new ConsoleLogger()));

/** Runs the quickstart on a broker, which may have been told to fail. */
async function run(
  broker: MemoryBroker,
  options: Partial<QuickstartOptions> = {},
): Promise<{ code: number; printed: string }> {
  let printed = '';
  const code = await quickstart({
    provider: memory({ broker }),
    patience: 1_500,
    json: false,
    serve: false,
    signal: new AbortController().signal,
    paint: (_colour, text) => text,
    print: (line) => (printed += `${line}\n`),
    ...options,
  });
  return { code, printed };
}

async function play(broker: MemoryBroker, signal?: AbortSignal): Promise<{ code: number; account: Account }> {
  const { code, printed } = await run(broker, { json: true, ...(signal === undefined ? {} : { signal }) });
  return { code, account: JSON.parse(printed) as Account };
}

const notAsTold = (steps: readonly Step[]): string[] => steps.filter(({ ok }) => !ok).map(({ told }) => told);

describe('the story', () => {
  let code: number;
  let account: Account;
  beforeAll(async () => ({ code, account } = await play(new MemoryBroker())));

  it('happens as told', () => {
    expect(notAsTold(account.steps)).toEqual([]);
    expect(code).toBe(0);
  });

  it.each([0, 1, 2])('is not as told when any one hop of chapter %i is missing, or is there twice', (index) => {
    const { entries } = account.chapters[index] as Chapter;
    const events = entries.filter(({ kind }) => kind !== 'http');
    expect(events.length).toBeGreaterThanOrEqual(5);
    for (const event of events) {
      const without = edited(account, index, (all) => all.filter((entry) => entry !== event));
      const twice = edited(account, index, (all) => [...all, event]);
      expect(notAsTold(judge(without)), `without ${JSON.stringify(event)}`).not.toEqual([]);
      expect(notAsTold(judge(twice)), `twice ${JSON.stringify(event)}`).not.toEqual([]);
    }
  });

  it.each([0, 1])('is not as told when any one hop of chapter %i loses the session', (index) => {
    const { entries } = account.chapters[index] as Chapter;
    for (const event of entries.filter(({ kind }) => kind !== 'http')) {
      const lost = edited(account, index, (all) =>
        all.map((entry) => (entry === event ? { ...entry, session: 'somebody-else' } : entry)),
      );
      expect(notAsTold(judge(lost)).some((told) => told.includes('session'))).toBe(true);
    }
  });
});

describe('a deviation makes it exit with 1 and is named', () => {
  it('an event that is delivered twice', async () => {
    const broker = new MemoryBroker();
    broker.faults.duplicateNext(1, (message) => message.channel === 'payments');
    const { code, account } = await play(broker);
    expect(code).toBe(1);
    expect(notAsTold(account.steps)).toContain(
      'two hops: orders → payments → notifications, each listener called once',
    );
  });

  it('in the account for people, with what was found instead', async () => {
    const broker = new MemoryBroker();
    broker.faults.duplicateNext(1, (message) => message.channel === 'orders');
    const { code, printed } = await run(broker);
    expect(code).toBe(1);
    expect(printed).toMatch(
      /✗ 1\. two hops.*\n +found: \[.*"payments handled orders.placed","payments handled orders.placed"/,
    );
    expect(printed).toMatch(/\d of 14 steps did not happen as told/);
  });

  it('an event that the broker does not take', async () => {
    const broker = new MemoryBroker();
    broker.faults.rejectNext(1, (message) => message.channel === 'orders');
    const { code, account } = await play(broker);
    expect(code).toBe(1);
    expect(notAsTold(account.steps)).toContain('POST /orders is answered by 201, and in the end the order is paid');
    expect(account.chapters.at(-1)?.gaveUp).toContain('POST /orders was answered by 500');
  });

  it('events that are never delivered, for which it waits no longer than its patience', async () => {
    const broker = new MemoryBroker();
    broker.faults.pauseDelivery();
    const { code, account } = await play(broker);
    expect(code).toBe(1);
    expect(account.chapters).toHaveLength(1);
    expect(account.chapters[0]?.gaveUp).toMatch(
      /waited 1500 ms for TakePayment, MarkOrderPaid, SendReceipt to handle order/,
    );
    expect(account.steps.at(-1)).toMatchObject({ ok: false, found: 'the story did not come so far' });
  });

  it('a signal in the middle, upon which the shop is still closed in order', async () => {
    const stop = new AbortController();
    const broker = new MemoryBroker();
    broker.faults.pauseDelivery();
    setTimeout(() => stop.abort(new Error('stopped by SIGINT')), 300);
    const { code, account } = await play(broker, stop.signal);
    expect(code).toBe(1);
    expect(account.chapters[0]?.gaveUp).toContain('stopped by SIGINT');
  });
});

function edited(account: Account, index: number, edit: (entries: readonly Entry[]) => readonly Entry[]): Chapter[] {
  return account.chapters.map((chapter, place) =>
    place === index ? { ...chapter, entries: edit(chapter.entries) } : chapter,
  );
}
