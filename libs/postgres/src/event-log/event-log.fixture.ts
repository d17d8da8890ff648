import { randomBytes } from 'node:crypto';
import { type LogPage, type SentEntry } from 'nestjs-eventing';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { refusal, VirtualClock } from '../../../eventing/src/kernel.fixture.js';
import { letterOf } from '../../../eventing/src/scripted.provider.fixture.js';
import { until } from '../outbox/outbox.fixture.js';
import type { Database } from '../sql/database.js';
import { PostgresEventLog } from './postgres.event-log.js';

import { World } from './event-log.world.fixture.js';

const T0 = Date.UTC(2026, 10, 20);
const DAY = 86_400_000;

/** The cases of a log; for each database that it runs on. */
export function eventLogCases(open: () => Promise<Database>, skip?: () => string | undefined): void {
  let schema: string;
  const worlds: World[] = [];
  beforeEach((context) => {
    const why = skip?.();
    context.skip(why !== undefined, why);
    schema = `log_${randomBytes(4).toString('hex')}`;
  });
  afterEach(() => Promise.all(worlds.splice(0).map(({ shop }) => shop.stop())));

  async function start(options: ConstructorParameters<typeof World>[2] = {}): Promise<World> {
    const world = new World(await open(), schema, options);
    worlds.push(world);
    await world.shop.start();
    return world;
  }

  const ids = (page: { readonly entries: readonly { readonly id?: string }[] }): (string | undefined)[] =>
    page.entries.map(({ id }) => id);

  it('shows what was sent, to where, with what came of it', async () => {
    const world = await start();
    world.refuse('2');
    await world.place('1', '2');
    await world.bill('b');
    await world.parked(1);
    await world.shop.empty();
    const { entries, cursor } = await world.log.sent();
    expect(cursor).toBeUndefined();
    expect(entries).toEqual([
      {
        ...{ outcome: 'sent', provider: 'default', channel: 'orders', event: 'orders.placed', version: 2 },
        ...{ id: '1', key: 'k1', attempts: 1, size: 14, storedAt: expect.any(Number), settledAt: expect.any(Number) },
      },
      {
        ...{ outcome: 'failed', provider: 'default', channel: 'orders', event: 'orders.placed', version: 2 },
        ...{ id: '2', key: 'k2', attempts: 2, size: 14, storedAt: expect.any(Number), settledAt: expect.any(Number) },
        error: { name: 'EventingError', code: 'EVT_PUBLISH_FAILED', message: 'no 2' },
      },
      expect.objectContaining({
        outcome: 'sent',
        provider: 'audit',
        channel: 'bills',
        event: 'bills.sent',
        version: 1,
      }),
    ]);
    const now = Date.now();
    for (const { storedAt } of entries) expect(Math.abs(storedAt - now)).toBeLessThan(120_000);
  });

  it('picks of what was sent by event, key, id, target, outcome, error and time, page by page', async () => {
    const world = await start();
    world.refuse('2');
    await world.place('1', '2', '3');
    await world.bill('b');
    await world.parked(1);
    await world.shop.empty();
    const { log } = world;
    const storedAt = (await log.sent()).entries[0]?.storedAt ?? 0;
    const later = storedAt + 3_600_000;
    for (const [filter, expected] of [
      [{ event: 'bills.sent' }, ['b']],
      [{ event: 'orders.placed@2', outcome: 'sent' }, ['1', '3']],
      [{ event: 'orders.placed@1' }, []],
      [{ key: 'k3' }, ['3']],
      [{ id: '1' }, ['1']],
      [{ provider: 'audit' }, ['b']],
      [{ channel: 'orders', outcome: 'failed' }, ['2']],
      [{ error: 'EVT_PUBLISH_FAILED' }, ['2']],
      [{ error: 'EventingError' }, ['2']],
      [{ since: storedAt - 1 }, ['1', '2', '3', 'b']],
      [{ since: new Date(later) }, []],
      [{ until: later }, ['1', '2', '3', 'b']],
      [{ until: storedAt - 3_600_000 }, []],
    ] as const)
      expect([filter, ids(await log.sent(filter))]).toEqual([filter, expected]);
    // Enough of them that their positions as text would be in another order.
    const more = Array.from({ length: 20 }, (_, index) => `m${index}`);
    await world.place(...more);
    const found: (string | undefined)[] = [];
    let cursor: string | undefined;
    do {
      const page: LogPage<SentEntry> = await log.sent(
        { since: storedAt - 1 },
        cursor === undefined ? { limit: 3 } : { limit: 3, cursor },
      );
      found.push(...ids(page));
      cursor = page.cursor;
    } while (cursor !== undefined);
    expect(found).toEqual(['1', '2', '3', 'b', ...more]);
  });

  it('shows what was handled and what could not be, in the order of time, with exact pages', async () => {
    const world = await start();
    for (const id of ['1', '3', '5']) {
      await world.handle(id, { attempt: Number(id) });
      await world.handledAt(id, T0 + 1000 * Number(id));
    }
    await world.handle('other', {}, 'mail.Bill');
    const event = { name: 'orders.placed', version: 2, id: 'e2' };
    world.letters.push(letterOf({ id: 'l2', event, deadAt: T0 + 2000, listener: 'Mail', attempts: 7 }));
    world.letters.push(letterOf({ id: 'l6', reason: 'undecodable', deadAt: T0 + 6000, listener: 'Mail' }));
    world.auditLetters.push(
      letterOf({ id: 'l4', event: { ...event, id: 'e4' }, deadAt: T0 + 4000, listener: 'Audit' }),
    );
    const all = await world.log.handled();
    expect(all.entries.map(({ outcome, listener, at }) => [outcome, listener, at - T0])).toEqual([
      ['handled', 'Bill', 1000],
      ['failed', 'Mail', 2000],
      ['handled', 'Bill', 3000],
      ['handled', 'Bill', 5000],
      ['failed', 'Mail', 6000],
      // Of another store, whose order is its own.
      ['failed', 'Audit', 4000],
    ]);
    expect(all.entries.slice(0, 2)).toEqual([
      {
        ...{ outcome: 'handled', listener: 'Bill', event: 'orders.placed', version: 2, id: '1', source: '/web' },
        ...{ channel: 'orders', key: 'k1', attempts: 1, at: T0 + 1000 },
      },
      {
        ...{
          outcome: 'failed',
          listener: 'Mail',
          event: 'orders.placed',
          version: 2,
          id: 'e2',
          channel: 'orders',
          key: 'k',
        },
        ...{ attempts: 7, at: T0 + 2000, error: { name: 'Error', message: 'no' } },
        letter: { id: 'l2', provider: 'default', reason: 'failed' },
      },
    ]);
    for (const limit of [1, 2, 4, 5]) {
      const paged: number[] = [];
      let cursor: string | undefined;
      do {
        const page = await world.log.handled({}, cursor === undefined ? { limit } : { limit, cursor });
        expect(page.entries.length).toBeLessThanOrEqual(limit);
        paged.push(...page.entries.map(({ at }) => at - T0));
        cursor = page.cursor;
      } while (cursor !== undefined);
      expect([limit, paged.sort((a, b) => a - b)]).toEqual([limit, [1000, 2000, 3000, 4000, 5000, 6000]]);
    }
  });

  it('shows nothing of a service whose name begins with its own, whatever their listeners are called', async () => {
    const world = await start();
    await world.handle('1', { service: 'shop' });
    await world.handle('2', { service: 'shop.eu' }, 'shop.eu.Bill');
    await world.handle('3', { service: 'shop' }, 'shop.eu.Mail');
    // Of before the service was on record.
    await world.handle('4', {}, 'shop.Old');
    expect(ids(await world.log.handled())).toEqual(['1', '3', '4']);
    expect(ids(await world.log.handled({ listener: 'eu.Bill' }))).toEqual([]);
    expect(ids(await world.log.handled({ listener: 'eu.Mail' }))).toEqual(['3']);
    expect(ids(await world.log.handled({ listener: 'Old' }))).toEqual(['4']);
  });

  it('picks of what was handled by event, listener, key, id, outcome, error and time', async () => {
    const world = await start();
    await world.handle('1');
    await world.handle('2', { event: 'orders.cancelled', version: 1, channel: 'cancelled' }, 'shop.Cancel');
    const event = { name: 'orders.placed', version: 2, id: 'e3' };
    const message = { key: 'k3', headers: {}, body: Buffer.from('{}'), time: 0, position: '0@1' };
    world.letters.push(
      letterOf({ id: 'l3', event, message, deadAt: T0, error: { name: 'CardRefused', message: 'no' } }),
    );
    for (const [filter, expected] of [
      [{ event: 'orders.placed' }, ['e3', '1']],
      [{ event: 'orders.cancelled@1' }, ['2']],
      [{ listener: 'Cancel' }, ['2']],
      [{ listener: 'SendReceipt' }, ['e3']],
      [{ key: 'k1' }, ['1']],
      [{ key: 'k3' }, ['e3']],
      [{ id: 'e3' }, ['e3']],
      [{ channel: 'cancelled' }, ['2']],
      [{ outcome: 'handled' }, ['1', '2']],
      [{ outcome: 'failed' }, ['e3']],
      [{ error: 'CardRefused' }, ['e3']],
      [{ since: T0 + 1 }, ['1', '2']],
      [{ until: new Date(T0) }, ['e3']],
    ] as const)
      expect([filter, ids(await world.log.handled(filter))]).toEqual([filter, expected]);
  });

  it('sends again what failed, on either side, and only counts when asked to', async () => {
    const world = await start();
    const { log, shop } = world;
    world.refuse('1', '2', '3');
    await world.place('1', '2', '3');
    await world.parked(3);
    const event = { name: 'orders.placed', version: 2, id: 'e1' };
    for (const id of ['a', 'b', 'c']) world.letters.push(letterOf({ id, event: { ...event, id: `e-${id}` } }));
    const none = { failed: 0, failures: [], more: false };
    expect(await log.resend({}, { dryRun: true })).toEqual({ sent: 3, handled: 3, ...none });
    expect(await log.resend({ of: 'sent' }, { dryRun: true })).toEqual({ sent: 3, handled: 0, ...none });
    expect([await shop.count(`state = 'failed'`), world.letters.length]).toEqual([3, 3]);
    world.refuse();
    expect(await log.resend({ of: 'sent', id: '2' })).toEqual({ sent: 1, handled: 0, ...none });
    await shop.empty();
    expect(shop.ids.at(-1)).toBe('2');
    // Nobody has said which listeners there are.
    expect(await log.resend({ of: 'handled', id: 'e-b' })).toMatchObject({
      ...{ sent: 0, handled: 0, failed: 1, more: false },
      failures: [{ id: 'b', error: { code: 'EVT_DEAD_LETTER_LISTENER' } }],
    });
    expect(await log.resend({ id: 'e-b' }, { force: true })).toEqual({ sent: 0, handled: 1, ...none });
    expect(world.provider.messages.at(-1)).toMatchObject({ id: 'e-b', to: 'SendReceipt' });
    // As redriveAll has it: what waits behind another letter follows it, and what is under way is not sent twice.
    for (const sequence of ['waiting', 'released'] as const)
      world.letters.push(letterOf({ id: sequence, sequence, event: { ...event, id: 'e-row' } }));
    expect(await log.resend({ id: 'e-row' }, { force: true })).toEqual({ sent: 0, handled: 0, ...none });
    world.letters.splice(-2);
    expect(await log.resend({ listener: 'Other' }, { force: true })).toEqual({ sent: 0, handled: 0, ...none });
    expect(await log.resend({}, { limit: 1, force: true })).toEqual({ sent: 1, handled: 0, ...none, more: true });
    expect(await log.resend({}, { limit: 2, force: true })).toEqual({ sent: 1, handled: 1, ...none, more: true });
    expect(await log.resend({}, { force: true })).toEqual({ sent: 0, handled: 1, ...none });
    await shop.empty();
    expect([...new Set(shop.ids)].sort()).toEqual(['1', '2', '3', 'e-a', 'e-b', 'e-c']);
    expect([await shop.count(`state = 'failed'`), world.letters]).toEqual([0, []]);
  });

  /** A log of its own clock, which keeps failures for a day, or as long as is said; beside a service that runs. */
  async function keeping(failedRetention?: number) {
    const world = await start();
    const clock = new VirtualClock(T0);
    const options = { database: async () => world.database, schema };
    const log = new PostgresEventLog(failedRetention === undefined ? options : { ...options, failedRetention });
    const { deadLetters } = world.shop.runtime;
    log.open({ service: 'shop', deadLetters, topology: 'check', clock, logger: world.shop.logger, housekeeping: true });
    world.letters.push(letterOf({ id: 'old', deadAt: T0 - 2 * DAY }), letterOf({ id: 'new', deadAt: T0 }));
    return { world, clock, log };
  }

  it('deletes failures that are old enough, where it is told to, and lets the keys behind them go on', async () => {
    const { world, clock, log } = await keeping(DAY);
    const { shop } = world;
    world.refuse('1', '2');
    await world.place('1', '2');
    await world.parked(2);
    await world.place('1');
    await world.database.query(`UPDATE "${schema}".outbox SET settled_at = now() - interval '2 days' WHERE key = 'k1'`);
    world.refuse('2');
    await clock.advance(3_600_000);
    await until(
      'they are gone',
      async () => (await shop.count(`state = 'failed'`)) === 1 && world.letters.length === 1,
    );
    expect(world.letters.map(({ id }) => id)).toEqual(['new']);
    // What waited behind the one that is gone.
    await until('its key goes on', async () => (await shop.count(`key = 'k1' AND state = 'sent'`)) === 1);
    expect(shop.logger.having('1 events and 1 dead letters')).toHaveLength(1);
    await log.close();
    world.letters.push(letterOf({ id: 'old', deadAt: T0 - 2 * DAY }));
    await clock.advance(10 * 3_600_000);
    expect(world.letters).toHaveLength(2);
  });

  it('leaves no hole in the letters of a key: who waits behind another, or is on its way, stays', async () => {
    const { world, clock } = await keeping(DAY);
    for (const sequence of ['first', 'waiting', 'released'] as const)
      world.letters.push(letterOf({ id: sequence, sequence, deadAt: T0 - 2 * DAY }));
    await clock.advance(3_600_000);
    await until('the old ones are gone', () => world.letters.length === 3);
    expect(world.letters.map(({ id }) => id)).toEqual(['new', 'waiting', 'released']);
  });

  it('shows what was refused with a text that JSON cannot give back', async () => {
    const world = await start();
    world.refuse('1');
    const refuse = world.provider.onPublish;
    world.provider.onPublish = async (messages) =>
      (await refuse(messages)).map((failure) => ({ ...failure, error: new Error('no\u0000 \ud800') }));
    await world.place('1');
    await world.parked(1);
    const { entries } = await world.log.sent({ error: 'Error' });
    expect(entries).toMatchObject([{ id: '1', error: { message: 'no\ufffd \ufffd' } }]);
  });

  it('keeps failures for ever, where nothing is said', async () => {
    const { world, clock, log } = await keeping();
    await clock.advance(10 * 3_600_000);
    expect(world.letters).toHaveLength(2);
    await log.close();
  });

  it('refuses a filter, a limit or a cursor that cannot be used', async () => {
    const { log } = await start();
    for (const call of [
      log.sent({ evnt: 'x' } as object),
      log.sent({ outcome: 'handled' as 'sent' }),
      log.sent({ key: 'a\0b' }),
      log.sent({ id: 'x'.repeat(501) }),
      log.sent({ since: Number.NaN }),
      log.sent({}, { limit: 0 }),
      log.sent({}, { limit: 1001 }),
      log.sent({}, { cursor: "1'; DROP TABLE x" }),
      log.handled({ provider: 'x' } as object),
      log.handled({}, { cursor: 'AAAA' }),
      log.handled({}, { cursor: Buffer.from('[["now","a","b","c"],null]').toString('base64url') }),
      log.resend({ outcome: 'failed' } as object),
      log.resend({ of: 'all' as 'sent' }),
      log.resend({}, { limit: 1_000_001 }),
    ])
      expect((await refusal(call)).code).toBe('EVT_INVALID_OPTIONS');
    // What looks like SQL is a value.
    expect((await log.sent({ key: `' OR '1' = '1` })).entries).toEqual([]);
  });
}
