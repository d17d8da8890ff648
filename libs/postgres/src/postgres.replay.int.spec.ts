import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { StartPosition, Subscription } from 'nestjs-eventing';
import type { PostgresAccess } from '../../../test/brokers/brokers.js';
import { acceptAll, keepAll, numbers, type Received, TestService, textOf, until } from './postgres.fixture.js';

const access = inject('postgres');
const UNTIL_NOW: Partial<Subscription> = { perProcess: true, durable: false, from: 'earliest', until: 'now' };

describe.skipIf(access === undefined)('a replay of the log', () => {
  let service: TestService;
  beforeEach(() => {
    service = new TestService(access as PostgresAccess);
  });
  afterEach(() => service.stop());

  const insert = (text: string): [string, unknown[]] => [
    `INSERT INTO eventing.events (channel, partition, time, id, headers, body) VALUES ($1, 0, 0, 'by-hand', '{}', $2)`,
    [service.channel, Buffer.from(text)],
  ];

  it('ends at what was committed when it began, whatever is under way then and commits later', async () => {
    const one = await service.started({ partitions: 1 });
    const slow = await service.client();
    // More than is read ahead, so that the rest is read when the other has committed.
    await one.publish(service.channel, numbers(1_500));
    await slow.query('BEGIN');
    await slow.query(...insert('under way'));
    await one.publish(service.channel, ['last']);
    let isOpen = false;
    const got = await one.subscribe(
      'R#replay',
      service.channel,
      (delivery) => {
        if (isOpen) acceptAll(delivery);
      },
      UNTIL_NOW,
    );
    await until('it does not wait for that transaction', () => got.texts.length > 0);
    await slow.query('COMMIT');
    await one.publish(service.channel, ['later']);
    expect(await got.handle?.lag()).toBe(1_501);
    isOpen = true;
    [...got.deliveries].forEach(acceptAll);
    await got.handle?.ended;
    expect(got.texts).toEqual([...numbers(1_500), 'last']);
    expect(await got.handle?.lag()).toBe(0);
  });

  it('ends when what was deferred is settled as well, and leaves nothing', async () => {
    const one = await service.started({ partitions: 2 });
    await one.publish(service.channel, numbers(10));
    let ended = 0;
    const got = await one.subscribe(
      'R#replay',
      service.channel,
      (delivery) => {
        if (delivery.attempt > 1) acceptAll(delivery);
        else void delivery.settle({ kind: 'defer', notBefore: Date.now() + 300, attempt: 2 });
      },
      UNTIL_NOW,
    );
    void got.handle?.ended?.then(() => (ended = got.deliveries.length));
    await until('it ends', () => ended > 0);
    expect(ended).toBe(20);
    await one.stop();
    const left = await service.query(
      `SELECT subscription FROM eventing.members WHERE subscription LIKE $1 UNION ALL
       SELECT name FROM eventing.subscriptions WHERE name LIKE $1 UNION ALL SELECT target FROM eventing.deferred WHERE target LIKE $1`,
      [`${service.name}.%`],
    );
    expect(left).toEqual([]);
  });

  it('begins at a time or a position, over many partitions and transactions', async () => {
    const one = await service.started({ partitions: 3 });
    await one.publish(service.channel, numbers(30), { key: undefined });
    await service.query(`UPDATE eventing.events SET stored_at = now() - interval '1 hour' WHERE channel = $1`, [
      service.channel,
    ]);
    const since = Date.now() - 60_000;
    for (const n of numbers(30, 30)) await one.publish(service.channel, [n]);
    expect(await replayed({ time: since })).toEqual(numbers(30, 30));
    expect(await replayed({ time: since - 7_200_000 })).toEqual(numbers(60));
    expect(await replayed({ time: Date.now() + 3_600_000 })).toEqual([]);
    const [row] = await service.query<{ place: string }>(
      `SELECT xid || '.' || position AS place FROM eventing.events WHERE channel = $1 AND partition = 1 ORDER BY xid, position OFFSET 15 LIMIT 1`,
      [service.channel],
    );
    const all = await replayed({ positions: { [`${service.channel}/1`]: row?.place ?? '' } });
    expect(all).toHaveLength(60 - 15);

    async function replayed(from: StartPosition): Promise<string[]> {
      const got = await one.subscribe('R#replay', service.channel, acceptAll, { ...UNTIL_NOW, from });
      await got.handle?.ended;
      await got.handle?.stop();
      return got.deliveries.map(textOf).toSorted((a, b) => Number(a) - Number(b));
    }
  });

  it('says when retention took away what it had not read, and only then', async () => {
    // Its own: retention is for all channels.
    const schema = `retained_${service.name.slice(5)}`;
    const one = await service.started({
      schema,
      partitions: 1,
      retention: { maxAge: 60_000 },
      retentionInterval: 100,
    });
    const begun = async (from: StartPosition = 'earliest'): Promise<Received> => {
      const got = await one.subscribe('R#replay', service.channel, keepAll, { ...UNTIL_NOW, from, window: 10 });
      await until('it is at work', () => got.deliveries.length > 0);
      return got;
    };
    const deleted = async (): Promise<void> => {
      await service.query(`UPDATE ${schema}.events SET stored_at = now() - interval '1 hour'`);
      await until('they are deleted', async () => (await service.query(`SELECT 1 FROM ${schema}.events`)).length === 0);
    };
    const settled = async (got: Received): Promise<string> => {
      got.onDelivery = acceptAll;
      got.deliveries.forEach(acceptAll);
      const end = await got.handle?.ended;
      await got.handle?.stop();
      return `${end ?? 'complete'}, ${got.texts.length}`;
    };
    const warnings = (): string[] => one.context.lines.filter((line) => line.startsWith('warn EVT_POSITION'));

    // More than is read ahead.
    await one.publish(service.channel, numbers(3_000));
    const [row] = await service.query<{ place: string }>(
      `SELECT xid || '.' || position AS place FROM ${schema}.events ORDER BY xid, position LIMIT 1`,
    );
    const overtaken = await begun();
    await deleted();
    expect(await settled(overtaken)).toMatch(/^incomplete, [1-9]/);
    expect(overtaken.texts.length).toBeLessThan(3_000);
    expect(warnings()).toEqual([expect.stringContaining('R#replay')]);

    // All of it was read by then.
    await one.publish(service.channel, numbers(5));
    const quick = await begun();
    await deleted();
    expect(await settled(quick)).toBe('complete, 5');

    // What was deleted before it began is not of it; unless it asks for that.
    await one.publish(service.channel, numbers(5));
    expect(await settled(await begun())).toBe('complete, 5');
    expect(await settled(await begun({ time: 1 }))).toBe('complete, 5');
    expect(warnings()).toHaveLength(1);
    expect(await settled(await begun({ positions: { [`${service.channel}/0`]: row?.place ?? '' } }))).toBe(
      'incomplete, 5',
    );
    await one.stop();
    await service.query(`DROP SCHEMA ${schema} CASCADE`);
  });

  it('begins at a time although a transaction is open since before', async () => {
    const one = await service.started({ partitions: 1 });
    const [other, open] = [await service.client(), await service.client()];
    await open.query('BEGIN');
    await open.query(...insert('open'));
    await one.publish(service.channel, ['before']);
    await other.query(`UPDATE eventing.events SET stored_at = now() - interval '1 hour' WHERE channel = $1`, [
      service.channel,
    ]);
    await one.publish(service.channel, ['after']);
    const from = { time: Date.now() - 60_000 };
    const got = await one.subscribe('R#replay', service.channel, acceptAll, { ...UNTIL_NOW, from });
    await got.handle?.ended;
    expect(got.texts).toEqual(['after']);
    await open.query('ROLLBACK');
  });

  it('finds what was stored at a time or later, also where a transaction waited before it stored anything', async () => {
    const one = await service.started({ partitions: 1 });
    const late = await service.client();
    await late.query('BEGIN');
    await late.query('SELECT now()');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await one.publish(service.channel, ['before']);
    await new Promise((resolve) => setTimeout(resolve, 50));
    const since = Date.now();
    await one.publish(service.channel, ['after']);
    // Of an earlier time, and behind it in the log.
    await late.query(...insert('late'));
    await late.query('COMMIT');
    await one.publish(service.channel, ['last']);
    const got = await one.subscribe('R#replay', service.channel, acceptAll, { ...UNTIL_NOW, from: { time: since } });
    await got.handle?.ended;
    expect(got.texts).toEqual(['after', 'late', 'last']);
  });
});
