import { afterEach, beforeEach, describe, expect, inject, it } from 'vitest';
import type { PostgresAccess } from '../../../test/brokers/brokers.js';
import { acceptAll, keepAll, message, numbers, TestService, textOf, until } from './postgres.fixture.js';

const access = inject('postgres');

describe.skipIf(access === undefined)('the log of PostgreSQL', () => {
  let service: TestService;
  beforeEach(() => {
    service = new TestService(access as PostgresAccess);
  });
  afterEach(() => service.stop());

  it('is read in commit-safe order: nothing that commits late is passed over', async () => {
    const one = await service.started({ partitions: 1 });
    const got = await one.subscribe('Receipt', service.channel);
    const [slow, late] = [await service.client(), await service.client()];
    const insert = (text: string): [string, unknown[]] => [
      `INSERT INTO eventing.events (channel, partition, time, id, headers, body) VALUES ($1, 0, 0, 'by-hand', '{}', $2)`,
      [service.channel, Buffer.from(text)],
    ];
    // It takes its position first and commits last.
    await slow.query('BEGIN');
    await slow.query(...insert('slow'));
    await late.query(...insert('fast'));
    await one.publish(service.channel, ['published']);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(got.texts).toEqual([]);
    await slow.query('COMMIT');
    await until('all arrive', () => got.texts.length === 3);
    expect(got.texts).toEqual(['slow', 'fast', 'published']);
  });

  it('has nothing of a transaction that was rolled back, and is not held up by it', async () => {
    const one = await service.started({ partitions: 1 });
    const got = await one.subscribe('Receipt', service.channel);
    const client = await service.client();
    await client.query('BEGIN');
    await client.query(
      `INSERT INTO eventing.events (channel, partition, time, id, headers, body) VALUES ($1, 0, 0, 'x', '{}', 'never')`,
      [service.channel],
    );
    await one.publish(service.channel, ['published']);
    await client.query('ROLLBACK');
    await until('it arrives', () => got.texts.length > 0);
    expect(got.texts).toEqual(['published']);
  });

  it('stores a batch once whose answer was lost, and the calls resolve', async () => {
    const one = await service.started({ partitions: 1 });
    const got = await one.subscribe('Receipt', service.channel);
    for (let round = 0; round < 10; round++) {
      const sends = numbers(20, round * 20).map((text) => one.publish(service.channel, [text], { key: 'a' }));
      // Somewhere between the statement and its answer.
      setTimeout(() => one.proxy.reset(), round);
      await Promise.all(sends);
    }
    await until('all arrive', () => got.texts.length >= 200);
    const stored = await service.query<{ body: Buffer }>(
      'SELECT body FROM eventing.events WHERE channel = $1 ORDER BY xid, position',
      [service.channel],
    );
    expect(stored.map(({ body }) => body.toString())).toEqual(numbers(200));
    expect([...new Set(got.texts)]).toEqual(numbers(200));
  });

  it('takes nothing from an owner whose lease went to another', async () => {
    const zombie = await service.started({ partitions: 1 });
    const old = await zombie.subscribe('Receipt', service.channel, keepAll);
    await zombie.publish(service.channel, ['1', '2', '3']);
    await until('all are delivered', () => old.deliveries.length === 3);
    zombie.proxy.freeze();
    const heir = await service.started({ partitions: 1 });
    const got = await heir.subscribe('Receipt', service.channel, (delivery) => {
      if (textOf(delivery) !== '2') acceptAll(delivery);
    });
    await until('they go to the other', () => got.deliveries.length === 3);
    // Longer than its commits wait.
    for (const delivery of old.deliveries) acceptAll(delivery);
    zombie.proxy.thaw();
    await until('it notices', () => old.revoked.length > 0);
    await new Promise((resolve) => setTimeout(resolve, 400));
    await heir.stop();
    const next = await (await service.started()).subscribe('Receipt', service.channel);
    await until('what was not settled comes back', () => next.deliveries.length > 0 || old.deliveries.length > 3);
    expect([...next.texts, ...old.texts.slice(3)]).toEqual(['2']);
  });

  it('loses no lease and no order when the clock of a process jumps', async () => {
    let ahead = 0;
    const clock = {
      now: () => Date.now() + ahead,
      setTimeout(fn: () => void, ms: number) {
        const timer = setTimeout(fn, ms);
        return { cancel: () => clearTimeout(timer) };
      },
    };
    const one = await service.started({ partitions: 1 }, { clock });
    const got = await one.subscribe('Receipt', service.channel);
    await one.publish(service.channel, ['1']);
    for (const jump of [3_600_000, -3_600_000, 0]) {
      ahead = jump;
      await one.publish(service.channel, [`${jump}`]);
    }
    await until('all arrive', () => got.texts.length === 4);
    expect(got.revoked).toEqual([]);
    expect(got.texts).toEqual(['1', '3600000', '-3600000', '0']);
  });

  it('keeps a deferred message for as long as was asked, whatever the clocks say', async () => {
    const ahead = 7_200_000;
    const clock = {
      now: () => Date.now() + ahead,
      setTimeout(fn: () => void, ms: number) {
        const timer = setTimeout(fn, ms);
        return { cancel: () => clearTimeout(timer) };
      },
    };
    const one = await service.started({}, { clock });
    let deferredAt = 0;
    let back = 0;
    await one.subscribe('Receipt', service.channel, (delivery) => {
      if (delivery.attempt === 1) {
        deferredAt = Date.now();
        void delivery.settle({ kind: 'defer', notBefore: clock.now() + 500, attempt: 2 });
      } else {
        back = Date.now();
        acceptAll(delivery);
      }
    });
    await one.publish(service.channel, ['1']);
    await until('it comes back', () => back > 0);
    expect(back - deferredAt).toBeGreaterThanOrEqual(500);
    await until('it is gone', async () => (await deferred()) === 0);
  });

  it('counts the deaths of a deferred message that is tried alone, and blames none that waited', async () => {
    const letters = new Map<string, number[]>();
    let victims = 0;
    const note = (text: string, attempt: number): void =>
      void letters.set(text, [...(letters.get(text) ?? []), attempt]);
    const first = await service.started({ partitions: 1 });
    const settled: (Promise<void> | void)[] = [];
    await first.subscribe('Receipt', service.channel, (delivery) => {
      // The killer comes first, whichever is stored first.
      const wait = textOf(delivery) === 'killer' ? 0 : 2_000;
      settled.push(delivery.settle({ kind: 'defer', notBefore: Date.now() + wait, attempt: 2 }));
    });
    await first.publish(service.channel, ['killer', 'a', 'b']);
    await until('all are deferred', async () => (await deferred()) === 3);
    // A process that ends before it knows that would get them from the log again.
    await Promise.all(settled);
    await first.stop();
    for (let life = 1; life <= 3; life++) {
      const one = await service.started({ partitions: 1 });
      const got = await one.subscribe('Receipt', service.channel, (delivery) => {
        note(textOf(delivery), delivery.attempt);
        if (textOf(delivery) === 'killer') victims++;
      });
      await until('the killer is at work', () => victims >= life);
      if (life === 1) await until('the others are as well', () => got.texts.length === 3);
      if (life > 1) expect(got.texts).toEqual(['killer']);
      one.proxy.cut();
    }
    const last = await service.started({ partitions: 1 });
    const got = await last.subscribe('Receipt', service.channel, (delivery) => {
      note(textOf(delivery), delivery.attempt);
      acceptAll(delivery);
    });
    await until('all are done', () => got.texts.length === 3);
    expect(letters.get('killer')).toEqual([2, 2, 3, 4]);
    for (const bystander of ['a', 'b']) expect(new Set(letters.get(bystander))).toEqual(new Set([2]));
  });

  it('forgets what is older than its retention, and nothing that a durable subscription has not settled', async () => {
    // Its own: retention is for all channels.
    const schema = `forgetful_${service.name.slice(5)}`;
    const options = { schema, partitions: 2, retention: { maxAge: 1_000 }, retentionInterval: 200 };
    const one = await service.started(options);
    const slow = await one.subscribe('Slow', service.channel, keepAll, { window: 4 });
    const quick = await one.subscribe('Quick', service.channel);
    await one.publish(service.channel, numbers(20), { key: 'a' });
    await until('they are delivered', () => slow.deliveries.length === 4 && quick.deliveries.length === 20);
    slow.deliveries.slice(0, 2).forEach(acceptAll);
    const left = (): Promise<number> => service.query(`SELECT 1 FROM ${schema}.events`).then(({ length }) => length);
    await until('two are gone', async () => (await left()) === 18);
    await new Promise((resolve) => setTimeout(resolve, 600));
    expect(await left()).toBe(18);
    // One process at a time keeps house, and this one would go on with its own rule.
    await one.stop();
    const other = await service.started({ ...options, retention: { maxAge: 1_000, dropUnsettled: true } });
    await until('the rest is gone where that was asked for', async () => (await left()) === 0);
    await other.stop();
    await service.query(`DROP SCHEMA ${schema} CASCADE`);
  });

  it('goes on when its tables were made anew', async () => {
    const schema = `anew_${service.name.slice(5)}`;
    const one = await service.started({ schema });
    const got = await one.subscribe('Receipt', service.channel);
    await one.publish(service.channel, ['before']);
    await until('it arrives', () => got.texts.length === 1);
    await service.query(`DROP SCHEMA ${schema} CASCADE`);
    const [failure] = await one.provider.publish([message(service.channel)]);
    expect(failure).toMatchObject({ error: { code: 'EVT_TOPOLOGY' } });
    await service.started({ schema });
    await until('it subscribes again', async () => (await count(`positions`, [], schema)) > 0);
    await one.publish(service.channel, ['after']);
    await until('it arrives', () => got.texts.includes('after'));
    await service.query(`DROP SCHEMA ${schema} CASCADE`);
  });

  it('gives each of many processes what is sent to a subscription that each has for itself', async () => {
    const [one, two] = [await service.started(), await service.started()];
    const got = await Promise.all(
      [one, two].map((each) => each.subscribe('Cache', service.channel, acceptAll, { perProcess: true })),
    );
    await one.publish(service.channel, ['to all'], { to: 'Cache' });
    await until('both have it', () => got.every(({ texts }) => texts.length === 1));
    await until('nothing is left', async () => (await deferred()) === 0);
    await two.stop();
    expect(await count('members WHERE subscription = $1', [`${service.name}.Cache`])).toBe(1);
  });

  it.each([
    [{ time: Number.NaN }, 'NaN'],
    [{ positions: { orders: '1.1' } }, '"orders"'],
    [{ positions: { 'orders/0': 'abc' } }, '"abc"'],
  ] as const)('refuses to begin at %j', async (from, says) => {
    const one = await service.started();
    await expect(one.subscribe('Receipt', service.channel, acceptAll, { from })).rejects.toMatchObject({
      code: 'EVT_POSITION',
      message: expect.stringContaining(says) as string,
    });
  });

  async function count(from: string, values: unknown[] = [], schema = 'eventing'): Promise<number> {
    const [row] = await service.query<{ count: string }>(`SELECT count(*) AS count FROM ${schema}.${from}`, values);
    return Number(row?.count);
  }

  function deferred(): Promise<number> {
    return count('deferred WHERE target LIKE $1', [`${service.name}.%`]);
  }
});
