import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Delivery } from 'nestjs-eventing';
import { type PostgresBroker, startOwnPostgres } from '../../../test/brokers/brokers.js';
import { LogBounds } from './log/log.bounds.js';
import { acceptAll, keepAll, numbers, TestService, until } from './postgres.fixture.js';
import { serverDatabase } from './sql/server.recipe.js';
import { LeaseTable } from './subscription/lease.table.js';
import { SubscriptionTable } from './subscription/subscription.table.js';

// On a server of their own: a transaction that is open for seconds, as here, holds back the readers of all others.
describe('leases on PostgreSQL', () => {
  let server: PostgresBroker | undefined;
  let service: TestService;
  beforeAll(async () => {
    const had = await startOwnPostgres();
    if (had.available) server = had;
  }, 120_000);
  beforeEach(({ skip }) => {
    if (server === undefined) skip('there is no PostgreSQL');
    else service = new TestService(server.access);
  });
  afterEach(() => service?.stop());
  afterAll(() => server?.close());

  it('are renewed while each connection for statements is busy for longer than they last', async () => {
    const one = await service.started({ partitions: 2, leaseTime: 4_000, heartbeatInterval: 200, poolSize: 2 });
    const got = await one.subscribe('Receipt', service.channel);
    await one.publish(service.channel, ['before']);
    await until('it arrives', () => got.texts.length === 1);
    const client = await service.client();
    await client.query('BEGIN');
    await client.query('LOCK TABLE eventing.events IN ACCESS EXCLUSIVE MODE');
    const sends = ['a', 'b', 'c', 'd'].map((key) => one.publish(service.channel, [key], { key }));
    await until('both connections wait for the table', async () => (await waiting()) >= 2);
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    await client.query('COMMIT');
    await Promise.all(sends);
    await until('all arrive', () => got.texts.length >= 5);
    expect(got.revoked).toEqual([]);
    expect(got.texts).toHaveLength(5);

    async function waiting(): Promise<number> {
      const rows = await service.query(
        `SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'eventing.events'::regclass`,
      );
      return rows.length;
    }
  });

  it('that cannot be renewed end by themselves: nothing is delivered any more, and it is told', async () => {
    const one = await service.started({ partitions: 1 });
    const got = await one.subscribe('Receipt', service.channel, keepAll, { window: 4 });
    await one.publish(service.channel, numbers(10));
    await until('a window of them is at work', () => got.texts.length === 4);
    one.proxy.freeze();
    await until('the lease ends', () => got.revoked.length > 0);
    expect(got.revoked).toEqual([`${service.channel}/0`, `${service.channel}/0/deferred`]);
    expect(one.context.lines.filter((line) => line.includes('EVT_LEASE_LOST'))).toHaveLength(1);
    // The others were read already.
    got.deliveries.forEach(acceptAll);
    expect(got.texts).toHaveLength(4);
    one.proxy.thaw();
    await until('it takes part again, and gets what was not settled in time', () => got.texts.length > 4);
    expect(got.texts.slice(4, 8)).toEqual(numbers(4));
  });

  it('that are given back in good order leave nothing that looks as if it had brought a process down', async () => {
    const subscription = `${service.name}.Receipt`;
    const calm = { partitions: 1, leaseTime: 60_000, heartbeatInterval: 20_000, pollInterval: 50 };
    const one = await service.started(calm);
    await one.subscribe('Receipt', service.channel, keepAll);
    await until('it has its lease', async () => (await owners())[0] !== null);
    const holder = await service.client();
    await holder.query('BEGIN');
    await holder.query('SELECT 1 FROM eventing.positions WHERE subscription = $1 FOR UPDATE', [subscription]);
    await service.query(
      `INSERT INTO eventing.deferred (target, channel, partition, due_at, attempt, time, headers, body)
       VALUES ($1, $2, 0, now(), 2, 0, '{}', 'due')`,
      [subscription, service.channel],
    );
    await until('it is about to be taken', async () => (await waiting()) === 1);
    const stopped = one.stop();
    // If the lease did not wait for what is being taken, it would go at once with it.
    for (let look = 0; look < 50 && (await waiting()) < 2; look++)
      await new Promise((resolve) => setTimeout(resolve, 10));
    await holder.query('COMMIT');
    await stopped;
    expect(await owners()).toEqual([null]);
    const left = await service.query('SELECT taken, crashes FROM eventing.deferred WHERE target = $1', [subscription]);
    expect(left).toEqual([{ taken: false, crashes: 0 }]);

    async function owners(): Promise<unknown[]> {
      const rows = await service.query('SELECT owner FROM eventing.positions WHERE subscription = $1', [subscription]);
      return rows.map(({ owner }) => owner);
    }
    async function waiting(): Promise<number> {
      return (await service.query(`SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'`)).length;
    }
  });

  it('that move to another member leave nothing behind that looks so either', async () => {
    await service.query('CREATE TABLE suspected (number bigint)');
    await service.query(`CREATE FUNCTION suspect() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN INSERT INTO suspected VALUES (NEW.number); RETURN NULL; END $$`);
    const one = await service.started({ partitions: 2 });
    await service.query(`CREATE TRIGGER suspect AFTER UPDATE ON eventing.deferred
      FOR EACH ROW WHEN (OLD.taken AND NEW.taken) EXECUTE FUNCTION suspect()`);
    // Taken again and again, so that mostly some are being taken.
    const defer = (delivery: Delivery): void =>
      void Promise.resolve(delivery.settle({ kind: 'defer', notBefore: Date.now(), attempt: 2 })).catch(
        () => undefined,
      );
    await one.subscribe('Receipt', service.channel, defer);
    for (const key of numbers(6)) await one.publish(service.channel, ['x'], { key });
    for (let round = 0; round < 20; round++) {
      const other = await service.started({ partitions: 2 });
      const got = await other.subscribe('Receipt', service.channel, defer);
      await until('it has its share', () => got.texts.length > 5);
      await other.stop();
    }
    const suspected = await service.query('SELECT number FROM suspected');
    await service.query('DROP FUNCTION suspect CASCADE');
    await service.query('DROP TABLE suspected');
    expect(suspected).toEqual([]);
  });

  it('of the dead are not waited for when the clock of the server was set back', async () => {
    const dead = await service.started({ partitions: 2 });
    await dead.subscribe('Receipt', service.channel);
    dead.proxy.cut();
    // As they look to a clock that is an hour behind the one by which they were given.
    await service.query(
      `UPDATE eventing.positions SET expires_at = expires_at + interval '1 hour' WHERE subscription = $1`,
      [`${service.name}.Receipt`],
    );
    await service.query(
      `UPDATE eventing.members SET expires_at = expires_at + interval '1 hour' WHERE subscription = $1`,
      [`${service.name}.Receipt`],
    );
    const heir = await service.started();
    const got = await heir.subscribe('Receipt', service.channel);
    await heir.publish(service.channel, ['1', '2', '3', '4']);
    await until('the heir has all of it', () => got.texts.length >= 4);
    expect(new Set(got.texts)).toEqual(new Set(['1', '2', '3', '4']));
  });

  it('that ran out in an outage cost nobody what waits for him: who comes back first forgets no other', async () => {
    const one = await service.started({ retentionInterval: 200 });
    const got = await one.subscribe('Cache', service.channel, acceptAll, { perProcess: true });
    const gone = 'gone';
    const target = `${service.name}.Cache#${gone}`;
    await service.query(
      `INSERT INTO eventing.members (subscription, member, channels, per_process, expires_at) VALUES ($1, $2, '{}', true, now())`,
      [`${service.name}.Cache`, gone],
    );
    const quiet = async (): Promise<void> => {
      await service.query(
        `UPDATE eventing.members SET expires_at = now() - interval '1 hour' WHERE subscription = $1`,
        [`${service.name}.Cache`],
      );
    };
    await quiet();
    await service.query(
      `INSERT INTO eventing.deferred (target, channel, partition, due_at, attempt, time, headers, body)
       VALUES ($1, $2, 0, now(), 1, 0, '{}', 'kept')`,
      [target, service.channel],
    );
    await until('it is missed, and who is alive is not', async () => (await missed()).join() === gone);
    expect(await waiting()).toBe(1);
    await service.query(`UPDATE eventing.members SET missed_at = now() - interval '5 minutes' WHERE member = $1`, [
      gone,
    ]);
    await until('it is forgotten', async () => (await waiting()) === 0);
    expect(got.revoked).toEqual([]);

    async function missed(): Promise<string[]> {
      const rows = await service.query<{ member: string }>(
        'SELECT member FROM eventing.members WHERE subscription = $1 AND missed_at IS NOT NULL',
        [`${service.name}.Cache`],
      );
      return rows.map(({ member }) => member);
    }
    async function waiting(): Promise<number> {
      return (await service.query('SELECT 1 FROM eventing.deferred WHERE target = $1', [target])).length;
    }
  });

  it('that ran out in an outage cost a group that is not durable nothing: who comes first forgets nobody', async () => {
    const plan = { durable: false, from: 'first-subscription' } as const;
    const group = `${service.name}.Live`;
    const one = await service.started({ partitions: 1 });
    const old = await one.subscribe('Live', service.channel, acceptAll, plan);
    await one.publish(service.channel, ['before']);
    await until('it arrives', () => old.texts.length === 1);
    one.proxy.freeze();
    for (const table of ['members', 'positions'])
      await service.query(`UPDATE eventing.${table} SET expires_at = now() - interval '1 hour' WHERE subscription = $1`, [group]); // prettier-ignore
    const heir = await service.started({ partitions: 1 });
    await heir.publish(service.channel, ['while all were away']);
    const got = await heir.subscribe('Live', service.channel, acceptAll, plan);
    await until('it is had', () => got.texts.includes('while all were away'));
    one.proxy.thaw();
    await until('it is back', async () => (await members('missed_at IS NULL')) === 2);
    // Of one that does not come back.
    await one.stop();
    await service.query(
      `INSERT INTO eventing.members (subscription, member, channels, per_process, expires_at, missed_at)
       VALUES ($1, 'dead', '{}', false, now() - interval '1 hour', now() - interval '1 hour')`,
      [group],
    );
    await heir.stop();
    expect(await members('true')).toBe(0);
    expect(await service.query('SELECT 1 FROM eventing.subscriptions WHERE name = $1', [group])).toEqual([]);

    async function members(which: string): Promise<number> {
      return (await service.query(`SELECT 1 FROM eventing.members WHERE subscription = $1 AND ${which}`, [group])).length; // prettier-ignore
    }
  });

  it.each(['release', 'leave'] as const)('are locked in their order by who gives them up: %s', async (how) => {
    const one = await service.started();
    const subscription = `${service.name}.Ordered`;
    await service.query('INSERT INTO eventing.subscriptions (name, durable) VALUES ($1, true)', [subscription]);
    // Where they lie is not their order.
    for (const partition of [3, 2, 1, 0])
      await service.query(
        `INSERT INTO eventing.positions (subscription, channel, partition, xid, position, owner) VALUES ($1, 'orders', $2, '0', 0, 'me')`,
        [subscription, partition],
      );
    const member = { subscription, member: 'me', channels: ['orders'], perProcess: false };
    const { connectionString } = service.access;
    const database = await serverDatabase({ connectionString, applicationName: service.name })();
    const first = await service.client();
    await first.query('BEGIN');
    await first.query('SELECT 1 FROM eventing.positions WHERE subscription = $1 AND partition = 0 FOR UPDATE', [subscription]); // prettier-ignore
    const leases = new LeaseTable(() => database, 'eventing', 'nobody', 10_000);
    const table = new SubscriptionTable(() => database, 'eventing', new LogBounds('eventing'), 'nobody', 10_000);
    const given = [3, 2, 1, 0].map((partition) => ({ channel: 'orders', partition }));
    const giving = how === 'release' ? leases.release(member, given) : table.leave(member, true);
    const observer = await service.client();
    await until('it waits', async () => {
      const { rows } = await observer.query(
        `SELECT 1 FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'`,
        [service.name],
      );
      return rows.length > 0;
    });
    // Whoever has the first may have the others too: the other one has none of them.
    await first.query('SELECT 1 FROM eventing.positions WHERE subscription = $1 FOR UPDATE NOWAIT', [subscription]);
    await first.query('COMMIT');
    await giving;
    const owned = await observer.query('SELECT 1 FROM eventing.positions WHERE subscription = $1 AND owner IS NOT NULL', [subscription]); // prettier-ignore
    expect(owned.rows).toEqual([]);
    await database.close();
    expect(one.context.lines.filter((line) => line.startsWith('error'))).toEqual([]);
  });

  it('keep what is sent to each process for those that were not heard of for long', async () => {
    const one = await service.started();
    await one.subscribe('Cache', service.channel, acceptAll, { perProcess: true });
    await service.query(
      `INSERT INTO eventing.members (subscription, member, channels, per_process, expires_at)
       VALUES ($1, 'away', '{}', true, now() - interval '1 hour')`,
      [`${service.name}.Cache`],
    );
    await one.publish(service.channel, ['to all'], { to: 'Cache' });
    const rows = await service.query<{ target: string }>('SELECT target FROM eventing.deferred WHERE target LIKE $1', [
      `${service.name}.Cache#away`,
    ]);
    expect(rows).toHaveLength(1);
  });
});
